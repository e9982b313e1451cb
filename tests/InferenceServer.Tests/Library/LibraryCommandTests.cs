using System.Diagnostics;
using System.Text.Json;
using InferenceServer.Commands;
using InferenceServer.Library;
using InferenceServer.Llama.TestModels;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Library;

/// <summary>The commands of the real program, each in a process of its own.</summary>
public sealed class LibraryCommandTests : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("commands-");
    private StandInHub _hub = null!;

    public async Task InitializeAsync()
    {
        _hub = await StandInHub.StartAsync();
        foreach (string quant in (string[])["Q8_0", "Q4_K_M"])
            _hub.Add("maker/Tiny-GGUF", $"Tiny-{quant}.gguf", TestGguf.Make(64, quant.Length));
    }

    public async Task DisposeAsync()
    {
        await _hub.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    private Process Start(params string[] arguments)
    {
        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        ProcessStartInfo start = new("dotnet", ["exec", "--runtimeconfig", tests + ".runtimeconfig.json", "--depsfile", tests + ".deps.json", typeof(ServerHost).Assembly.Location, .. arguments])
        { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, WorkingDirectory = _folder.FullName };
        start.Environment["INFERENCE_SERVER_MODELS_DIR"] = Path.Combine(_folder.FullName, "models");
        start.Environment["HF_ENDPOINT"] = _hub.Address.AbsoluteUri;
        start.Environment["HF_HUB_OFFLINE"] = "";
        return Process.Start(start)!;
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(string[] arguments, string input = "")
    {
        using Process process = Start(arguments);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
        return (process.ExitCode, await output, await error);
    }

    private async Task<string> DoAsync(params string[] arguments)
    {
        (int code, string output, string error) = await RunAsync(arguments);
        Assert.True(code == 0, $"{string.Join(' ', arguments)}: {code}\n{output}\n{error}");
        return output;
    }

    [Fact]
    public async Task A_model_goes_through_all_commands()
    {
        Assert.Contains("The library is empty", await DoAsync("list"), StringComparison.Ordinal);
        (int code, string output, string error) = await RunAsync(["pull", "maker/Tiny-GGUF:q4_k_m", "--name", "tiny"]);
        Assert.Equal((0, "tiny is in the library: 1 file"), (code, output[..30]));
        Assert.Contains("downloading", error, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', error);
        Assert.Contains("tiny", await DoAsync("list"), StringComparison.Ordinal);
        Assert.Contains("hf:maker/Tiny-GGUF:q4_k_m at 0123abcd", await DoAsync("show", "Tiny"), StringComparison.Ordinal);
        await DoAsync("cp", "tiny", "team/second:v1");
        Assert.Equal(0, (await RunAsync(["create", "kind", "-f", "-"], "FROM tiny\nSYSTEM Be kind.\n")).Code);
        string file = Path.Combine(_folder.FullName, "own.gguf");
        await File.WriteAllBytesAsync(file, TestGguf.Make(8, 9));
        await DoAsync("import", file);
        JsonElement listed = JsonDocument.Parse(await DoAsync("list", "--json")).RootElement;
        Assert.Equal(["kind:latest", "own:latest", "team/second:v1", "tiny:latest"], listed.EnumerateArray().Select(model => model.GetProperty("name").GetString()));
        Assert.Contains("4 of 4 files", await DoAsync("verify"), StringComparison.Ordinal);
        Assert.Contains("0 B are free", await DoAsync("rm", "tiny", "kind"), StringComparison.Ordinal);
        Assert.DoesNotContain("0 B are free", await DoAsync("rm", "second"), StringComparison.Ordinal);
        Assert.Single(Directory.GetFiles(Path.Combine(_folder.FullName, "models", "blobs")));
    }

    [Fact]
    public async Task With_json_every_line_of_a_pull_is_JSON_and_the_last_is_the_model()
    {
        string[] lines = (await DoAsync("pull", "hf:maker/Tiny-GGUF", "--json")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        JsonElement[] read = [.. lines.Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal("success", read[^1].GetProperty("status").GetString());
        Assert.Equal("hf:maker/Tiny-GGUF:Q8_0", read[^1].GetProperty("model").GetProperty("source").GetString());
        Assert.Contains(read, line => line.TryGetProperty("note", out JsonElement note) && note.GetString()!.StartsWith("Q8_0", StringComparison.Ordinal));

        (int code, string output, _) = await RunAsync(["pull", "hf:maker/None", "--json"]);
        Assert.Equal((1, "hub_unauthorized"), (code, JsonDocument.Parse(output.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]).RootElement.GetProperty("code").GetString()));
    }

    [Theory]
    [InlineData(2, "pull", "")]
    [InlineData(2, "pull", "../../x")]
    [InlineData(1, "show", "none")]
    [InlineData(1, "rm", "none")]
    [InlineData(1, "pull", "hf:maker/Tiny-GGUF", "--offline", "on")]
    [InlineData(2, "pull", "hf:maker/Tiny-GGUF", "--hub-endpoint", "ftp://x")]
    [InlineData(2, "import")]
    [InlineData(1, "import", "none.gguf")]
    [InlineData(2, "create", "x", "-f", "none")]
    [InlineData(2, "serve")]
    public async Task What_fails_ends_with_a_code_and_one_line(int code, params string[] arguments)
    {
        (int ended, string output, string error) = await RunAsync(arguments);
        Assert.Equal((code, ""), (ended, output));
        Assert.StartsWith("InferenceServer: ", error.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pull")]
    [InlineData("list")]
    [InlineData("show")]
    [InlineData("rm")]
    [InlineData("cp")]
    [InlineData("create")]
    [InlineData("import")]
    [InlineData("verify")]
    [InlineData("completion")]
    public async Task Every_command_explains_itself_with_two_examples(string command)
    {
        string help = await DoAsync(command, "--help");
        Assert.Equal(2, help[help.IndexOf("Examples:", StringComparison.Ordinal)..].Split('\n').Count(line => line.StartsWith($"  InferenceServer {command}", StringComparison.Ordinal)));
        if (command != "completion")
            Assert.Contains("--json", help, StringComparison.Ordinal);
        Assert.Contains("--models-dir", help, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Ctrl_C_leaves_what_has_come_and_says_so()
    {
        Skip.If(OperatingSystem.IsWindows(), "no signal can be sent to one process there");
        _hub.HoldAfter = 16_000;
        using Process process = Start("pull", "hf:maker/Tiny-GGUF:Q8_0");
        await Eventually.HoldsAsync(() => _hub.SentBytes >= 16_000);
        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]))
            await kill.WaitForExitAsync();
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(130, process.ExitCode);
        Assert.Contains("goes on from there", error, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(_folder.FullName, "models", "partial"), "*.journal"));
    }

    [SkippableFact]
    public async Task A_shell_completes_commands_options_and_names_with_colons()
    {
        Skip.IfNot(File.Exists("/bin/bash"), "there is no bash");
        await DoAsync("pull", "hf:maker/Tiny-GGUF:Q8_0");
        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        string program = Path.Combine(_folder.FullName, "InferenceServer");
        await File.WriteAllTextAsync(program, $"#!/bin/sh\nexec dotnet exec --runtimeconfig '{tests}.runtimeconfig.json' --depsfile '{tests}.deps.json' '{typeof(ServerHost).Assembly.Location}' \"$@\"\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        string script = await DoAsync("completion", "bash");
        async Task<string[]> CompleteAsync(string line)
        {
            ProcessStartInfo start = new("bash", ["-c", $"{script}\nCOMP_LINE='{line}' COMP_POINT={line.Length} COMP_WORDS=('{program}')\n_inference_server\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""]) { RedirectStandardOutput = true };
            start.Environment["INFERENCE_SERVER_MODELS_DIR"] = Path.Combine(_folder.FullName, "models");
            using Process bash = Process.Start(start)!;
            return (await bash.StandardOutput.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }

        Assert.Equal(["pull"], await CompleteAsync("InferenceServer pu"));
        Assert.Equal(["--name"], await CompleteAsync("InferenceServer pull x --na"));
        Assert.Equal(["maker/Tiny-GGUF:Q8_0"], await CompleteAsync("InferenceServer show ma"));
        Assert.Equal(["Q8_0"], await CompleteAsync("InferenceServer rm maker/Tiny-GGUF:"));
        Assert.Equal(["maker/Tiny-GGUF:Q8_0"], await CompleteAsync("InferenceServer --model ma"));
        foreach (string shell in (string[])["zsh", "fish"])
            Assert.Contains("[suggest:", await DoAsync("completion", shell), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_is_started_by_a_name_and_serves_under_it()
    {
        string model = Path.Combine(_folder.FullName, "tiny-random.gguf");
        TinyModel.Write(model);
        _hub.Add("maker/Runs-GGUF", "Runs-F32.gguf", await File.ReadAllBytesAsync(model));
        await using Store.ServerProcess server = await Store.ServerProcess.StartAsync(_folder.FullName, "--data-dir", "off", "--models-dir", Path.Combine(_folder.FullName, "models"),
            "--hub-endpoint", _hub.Address.AbsoluteUri, "--model", "hf:maker/Runs-GGUF");
        string listed = await server.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative));
        Assert.Equal("maker/Runs-GGUF:F32", JsonDocument.Parse(listed).RootElement.GetProperty("data")[0].GetProperty("id").GetString());
        Assert.Contains("\"content\"", await server.PostAsync("/v1/chat/completions", """{"model":"maker/runs-gguf:f32","max_tokens":2,"messages":[{"role":"user","content":"Hi"}]}"""), StringComparison.Ordinal);
        Assert.Contains("\"id\":\"maker/Runs-GGUF:F32\"", await server.Client.GetStringAsync(new Uri("/v1/models/maker/Runs-GGUF:F32", UriKind.Relative)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_terminal_sees_a_bar_with_speed_and_time_left_and_a_file_sees_lines()
    {
        LibraryFile file = new("a.gguf", new string('0', 64), 200 << 20, LibraryFileRole.Model);
        PullProgress half = new(PullPhase.Downloading, file, 100 << 20, 100 << 20, 200 << 20, 10 << 20);
        StringWriter terminal = new(), lines = new();
        PullBar bar = new(terminal, isTerminal: true, () => 92, TimeProvider.System), log = new(lines, isTerminal: false, () => 0, new FakeTimeProvider());
        foreach (PullBar each in (PullBar[])[bar, log])
        {
            each.Report(new PullProgress(PullPhase.ReadingManifest, Note: "Q8_0 is the best."));
            each.Report(half);
            each.Report(half with { Completed = 101 << 20 });
            each.End();
        }

        Assert.Contains("[##########..........] 50%  100.0 MiB of 200.0 MiB  10.0 MiB/s  0:10 left", terminal.ToString(), StringComparison.Ordinal);
        Assert.EndsWith("\r\u001b[K", terminal.ToString(), StringComparison.Ordinal);
        Assert.Equal(["Q8_0 is the best.", "downloading  50%  100.0 MiB of 200.0 MiB  10.0 MiB/s  0:10 left", ""], lines.ToString().ReplaceLineEndings("\n").Split('\n'));
    }
}
