using System.Diagnostics;
using System.Text;
using InferenceServer.Llama.TestModels;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Store;

/// <summary>The real program in a process of its own, on a tiny model: for what only the end of a process shows.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly Process _process;

    private ServerProcess(Process process, Uri address)
    {
        _process = process;
        Client = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromSeconds(60) };
    }

    public HttpClient Client { get; }

    public static async Task<ServerProcess> StartAsync(string folder, params string[] arguments)
    {
        string model = Path.Combine(folder, "tiny.gguf");
        if (!File.Exists(model))
            TinyModel.Write(model);
        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        ProcessStartInfo start = new("dotnet",
            ["exec", "--runtimeconfig", tests + ".runtimeconfig.json", "--depsfile", tests + ".deps.json", typeof(ServerHost).Assembly.Location,
             .. arguments.Contains("--model") ? (string[])[] : ["--model", model], "--port", "0", "--backend", "cpu", "--threads", "1", .. arguments.Contains("--ctx-size") ? (string[])[] : ["--ctx-size", "4096"], .. arguments])
        { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder };
        Process process = Process.Start(start)!;
        TaskCompletionSource<Uri> started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        StringBuilder said = new();
        process.ErrorDataReceived += (_, line) => Hear(line.Data);
        process.OutputDataReceived += (_, line) => Hear(line.Data);
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        try
        {
            return new ServerProcess(process, await started.Task.WaitAsync(StartLimit));
        }
        catch
        {
            process.Kill();
            process.Dispose();
            throw;
        }

        void Hear(string? line)
        {
            const string Before = " on http://";
            string soFar;
            // Two streams are heard at once.
            lock (said)
                soFar = said.AppendLine(line).ToString();
            if (line is null)
                started.TrySetException(new InvalidOperationException($"the server did not start: {soFar}"));
            else if (line.Contains("InferenceServer", StringComparison.Ordinal) && line.IndexOf(Before, StringComparison.Ordinal) is >= 0 and var at)
                started.TrySetResult(new Uri(line[(at + " on ".Length)..].Trim()));
        }
    }

    /// <summary>The body of a JSON POST that was answered with success.</summary>
    public async Task<string> PostAsync(string path, string body)
    {
        using StringContent content = new(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await Client.PostAsync(new Uri(path, UriKind.Relative), content);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        return text;
    }

    /// <summary>As kill -9 does: no handler runs, nothing is flushed.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (!_process.HasExited)
            await KillAsync();
        _process.Dispose();
    }
}
