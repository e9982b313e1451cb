using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace InferenceServer.Tests.Docs;

/// <summary>Every shell command of the pages runs as it is written, against a server of this process; those that cannot say why.</summary>
public sealed partial class DocumentedCommandTests(DocumentedServer server) : IClassFixture<DocumentedServer>
{
    private const string Address = "http://127.0.0.1:8080";

    private static readonly string[] ShellLanguages = ["sh", "bash", "console"];

    // A page's commands take a second or two; what hangs must fail and not stall the run.
    private static readonly TimeSpan PageLimit = TimeSpan.FromMinutes(2);

    public static TheoryData<string> PagesWithCommands() => [.. DocumentedPages.Paths.Where(path => Commands(path).Length > 0)];

    private static FencedBlock[] Commands(string path) => [.. Document.Read(path).Blocks.Where(block => ShellLanguages.Contains(block.Language) && block.NotRun is null)];

    [SkippableTheory]
    [MemberData(nameof(PagesWithCommands))]
    public async Task The_commands_of_a_page_run_and_answer_as_it_says(string path)
    {
        Skip.If(!HasProgram("bash") || !HasProgram("curl") || !HasProgram("jq"), "bash, curl and jq are not all here");
        FencedBlock[] blocks = Commands(path);
        // The blocks of a page are one session: a later one may use what an earlier one has set. What curl answers goes to stderr, behind the line of the block that asked.
        StringBuilder script = new("set -euo pipefail\ncurl() { command curl --silent --show-error --max-time 60 --write-out '%{stderr}@%{http_code}\\n' \"$@\"; }\n");
        foreach (FencedBlock block in blocks)
            script.Append(CultureInfo.InvariantCulture, $"echo '#{block.Line}' >&2\n{block.Text.Replace(Address, server.Host.Client.BaseAddress!.ToString().TrimEnd('/'), StringComparison.Ordinal)}\n");
        (int exit, string output, string error) = await RunAsync(script.ToString());
        Assert.True(exit == 0, $"{path}: a block ended with {exit}\n{error}\n{output}");

        Dictionary<int, List<int>> statuses = [];
        foreach (Match told in ToldPattern().Matches(error))
            if (told.Groups[1].Success)
                statuses[int.Parse(told.Groups[1].Value, CultureInfo.InvariantCulture)] = [];
            else
                statuses.Last().Value.Add(int.Parse(told.Groups[2].Value, CultureInfo.InvariantCulture));
        foreach (FencedBlock block in blocks)
        {
            int? expected = ExpectedPattern().Match(block.Before.TrimEnd().Split("\n\n")[^1]) is { Success: true } said ? int.Parse(said.Groups[1].Value, CultureInfo.InvariantCulture) : null;
            Assert.True(!block.Text.Contains("curl", StringComparison.Ordinal) || statuses[block.Line].Count > 0, $"{path}:{block.Line}: curl told of no answer");
            Assert.All(statuses[block.Line], status => Assert.True(expected is null ? status is >= 200 and < 300 : status == expected,
                $"{path}:{block.Line} was answered with {status}, and should be with {(expected is null ? "2xx" : expected)}:\n{block.Text}\n{output}"));
        }
    }

    [Fact]
    public void A_block_that_is_not_run_is_a_shell_block_and_says_why()
    {
        foreach (string path in DocumentedPages.Paths)
            Assert.All(Document.Read(path).Blocks.Where(block => block.NotRun is not null), block => Assert.True(ShellLanguages.Contains(block.Language), $"{path}:{block.Line}: only shell blocks are run"));
    }

    [Fact]
    public void Every_command_speaks_to_the_address_that_the_test_replaces()
    {
        foreach (string path in DocumentedPages.Paths)
            Assert.All(Commands(path), block => Assert.All(HttpPattern().Matches(block.Text), address => Assert.True(address.Value == Address, $"{path}:{block.Line}: {address.Value} should be {Address}")));
    }

    private static bool HasProgram(string name) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, name)));

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(string script)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("commands-");
        ProcessStartInfo start = new("bash", ["-s"]) { WorkingDirectory = folder.FullName, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        using CancellationTokenSource limit = new(PageLimit);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token), error = process.StandardError.ReadToEndAsync(limit.Token);
            await process.StandardInput.WriteAsync(script.AsMemory(), limit.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            return (-1, "", $"the commands did not end within {PageLimit.TotalMinutes} minutes");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [GeneratedRegex(@"^(?:#(\d+)|@(\d{3}))$", RegexOptions.Multiline)]
    private static partial Regex ToldPattern();

    // "The server answers 404:", "This answers 422."
    [GeneratedRegex(@"\banswers (\d{3})\b")]
    private static partial Regex ExpectedPattern();

    [GeneratedRegex(@"https?://[^/\s""']+")]
    private static partial Regex HttpPattern();
}
