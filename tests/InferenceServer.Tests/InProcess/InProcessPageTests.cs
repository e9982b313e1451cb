using System.Diagnostics;
using InferenceServer.InProcess;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>The example of docs/in-process.md compiles as it stands there, and does what it says.</summary>
public sealed class InProcessPageTests : IDisposable
{
    // What the SDK adds to every project.
    private const string ImplicitUsings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Net.Http;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("in-process-page-");

    // A program finds its assemblies beside itself.
    private readonly string _program = Path.Combine(AppContext.BaseDirectory, $"in-process-page-{Guid.NewGuid():N}.dll");

    public void Dispose()
    {
        File.Delete(_program);
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task The_pages_example_compiles_and_runs()
    {
        string example = Block(await File.ReadAllTextAsync(Path.Combine(SharedFolder.RepositoryRoot, "docs", "in-process.md")));
        Assert.InRange(example.Split('\n').Length, 5, 20);
        string source = Path.Combine(_folder.FullName, "Program.cs"), usings = Path.Combine(_folder.FullName, "Usings.cs"), arguments = Path.Combine(_folder.FullName, "csc.rsp");
        await File.WriteAllTextAsync(source, example);
        await File.WriteAllTextAsync(usings, ImplicitUsings);
        string[] assemblies = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
        await File.WriteAllLinesAsync(arguments,
            ["-nologo", "-nostdlib", "-target:exe", "-nullable:enable", "-warnaserror", $"-out:\"{_program}\"", .. assemblies.Select(path => $"-r:\"{path}\""), $"\"{source}\"", $"\"{usings}\""]);
        (int exit, string said) = await RunAsync("exec", Compiler(), "-noconfig", $"@{arguments}");
        Assert.True(exit == 0, said);

        string model = Path.Combine(_folder.FullName, "model.gguf");
        TinyModel.Write(model);
        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        (exit, said) = await RunAsync("exec", "--runtimeconfig", tests + ".runtimeconfig.json", "--depsfile", tests + ".deps.json", _program);
        Assert.True(exit == 0, said);

        await using InProcessModel here = await InProcessModel.LoadAsync(new ModelOptions { ModelPath = model, ContextSize = 4096 }, backend: LlamaBackend.Cpu);
        ChatResponse expected = await here.Chat.GetResponseAsync("Hello!", new ChatOptions { Temperature = 0, MaxOutputTokens = 32 });
        Assert.Equal($"{expected.Text}{Environment.NewLine}64 numbers{Environment.NewLine}", said);
    }

    private static string Block(string page)
    {
        const string Fence = "```csharp\n";
        page = page.ReplaceLineEndings("\n");
        int start = page.IndexOf(Fence, StringComparison.Ordinal) + Fence.Length;
        return page[start..page.IndexOf("\n```", start, StringComparison.Ordinal)];
    }

    /// <summary>The compiler of the newest SDK beside the runtime that runs this.</summary>
    private static string Compiler()
    {
        DirectoryInfo dotnet = Directory.GetParent(Path.GetDirectoryName(typeof(object).Assembly.Location)!)!.Parent!.Parent!;
        return dotnet.GetDirectories("sdk").Single().GetDirectories().Select(sdk => Path.Combine(sdk.FullName, "Roslyn", "bincore", "csc.dll")).Where(File.Exists).Max(StringComparer.Ordinal)
            ?? throw new FileNotFoundException($"{dotnet.FullName} has no SDK with a C# compiler");
    }

    /// <returns>The output where it ended well, else all that it said.</returns>
    private async Task<(int Exit, string Said)> RunAsync(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _folder.FullName })!;
        using CancellationTokenSource limit = new(Limit);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token), errors = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, process.ExitCode == 0 ? await output : await output + await errors);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }
}
