using System.Diagnostics;
using System.Globalization;

namespace InferenceServer.Benchmarks;

/// <summary>
/// What users see of a start: the real server as a process of its own, with 8,192 cells; time until it is ready, memory while it idles, and the speed of the first
/// requests against that after a minute of load. Half of the starts begin with ten single requests, half with a burst of 16.
/// </summary>
internal static class StartWork
{
    private const int FirstRequests = 10, Streams = 16;
    private static readonly TimeSpan Load = TimeSpan.FromMinutes(1);

    public static async Task<BenchmarkRow> RunAsync(BenchmarkSetup setup)
    {
        List<double> ready = [], memory = [], one = [], sixteen = [];
        for (int start = 0; start < 2 * setup.Options.Pairs; start++)
        {
            using ServerProcess server = await ServerProcess.StartAsync(setup, 18_690 + (start % 10));
            ready.Add(server.ReadySeconds);
            memory.Add(server.ResidentBytes / 1e6);
            bool isBurst = start % 2 == 1;
            double first = isBurst ? await server.BurstAsync(start) : await server.SinglesAsync(start);
            long loaded = Stopwatch.GetTimestamp();
            for (int round = 0; Stopwatch.GetElapsedTime(loaded) < Load; round++)
                _ = (await server.SinglesAsync(100 + round), await server.BurstAsync(200 + round));
            List<double> warm = [];
            for (int run = 0; run < 3; run++)
                warm.Add(isBurst ? await server.BurstAsync(1000 + run) : await server.SinglesAsync(1000 + run));
            (isBurst ? sixteen : one).Add(Report.Median(warm) / first);
        }
        double ones = Report.Median(one), bursts = Report.Median(sixteen);
        return new BenchmarkRow("a start: ready, idle memory, and the first requests against warm ones", "first ten and first burst of 16 >= 0.9 of warm; < 350 MB",
            $"ready after {Report.Median(ready):F1} s with {Report.Median(memory):F0} MB; first ten {ones:F2} ({string.Join(' ', one.Select(r => r.ToString("F2")))}), first burst {bursts:F2} ({string.Join(' ', sixteen.Select(r => r.ToString("F2")))})",
            ones >= 0.9 && bursts >= 0.9 && Report.Median(memory) < 350,
            new() { ["readySeconds"] = Report.Median(ready), ["idleMegabytes"] = Report.Median(memory), ["firstTen"] = ones, ["firstBurst"] = bursts });
    }

    private sealed class ServerProcess : IDisposable
    {
        private readonly BenchmarkSetup _setup;
        private readonly Process _process;
        private readonly LeanConnection[] _connections = new LeanConnection[Streams];

        private ServerProcess(BenchmarkSetup setup, Process process) => (_setup, _process) = (setup, process);

        public double ReadySeconds { get; private set; }

        public long ResidentBytes { get; private set; }

        public static async Task<ServerProcess> StartAsync(BenchmarkSetup setup, int port)
        {
            ProcessStartInfo how = new("dotnet") { RedirectStandardOutput = true };
            foreach (string argument in (string[])[Path.Combine(AppContext.BaseDirectory, "InferenceServer.dll"), "--model", setup.ModelPath, "--ctx-size", "8192",
                "--backend", "cpu", "--data-dir", "off", "--port", port.ToString(CultureInfo.InvariantCulture)])
                how.ArgumentList.Add(argument);
            long start = Stopwatch.GetTimestamp();
            ServerProcess server = new(setup, Process.Start(how) ?? throw new InvalidOperationException("dotnet does not start."));
            // Its log is read, or it would wait for that.
            server._process.BeginOutputReadLine();
            using HttpClient client = new() { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            while (!await IsReadyAsync(client))
            {
                if (server._process.HasExited)
                    throw new InvalidOperationException($"The server ended with exit code {server._process.ExitCode}.");
                await Task.Delay(20);
            }
            server.ReadySeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            await Task.Delay(TimeSpan.FromSeconds(1));
            server._process.Refresh();
            server.ResidentBytes = server._process.WorkingSet64;
            for (int i = 0; i < Streams; i++)
                server._connections[i] = await LeanConnection.OpenAsync(client.BaseAddress);
            return server;
        }

        /// <summary>Ten requests, one after the other; seconds for all.</summary>
        public async Task<double> SinglesAsync(int seed)
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < FirstRequests; i++)
                await PostAsync(_connections[0], _setup.RandomTokens(64, (seed * 1009) + i), 128);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        /// <summary>Sixteen requests at once; seconds until the last has ended.</summary>
        public async Task<double> BurstAsync(int seed)
        {
            int[][] prompts = Works.Prompts(_setup, Streams, 112, seed);
            long start = Stopwatch.GetTimestamp();
            await Task.WhenAll(prompts.Zip(_connections, (prompt, connection) => PostAsync(connection, prompt, 64)));
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        private Task PostAsync(LeanConnection connection, int[] prompt, int maxTokens) => connection.PostAsync("/v1/completions",
            Server.CompletionBody(Path.GetFileNameWithoutExtension(_setup.ModelPath), prompt, maxTokens, "\"temperature\":0", ignoreEos: true), null);

        private static async Task<bool> IsReadyAsync(HttpClient client)
        {
            try
            {
                using HttpResponseMessage answer = await client.GetAsync(new Uri("/health/ready", UriKind.Relative));
                return answer.IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }

        public void Dispose()
        {
            foreach (LeanConnection? connection in _connections)
                connection?.Dispose();
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
