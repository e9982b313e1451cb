using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Benchmarks;

/// <summary>This program once more, as the client: its work and the server's are told apart as those of two processes.</summary>
internal sealed class ClientProcess : IAsyncDisposable
{
    private const string Argument = "--client";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly Process _process;

    private ClientProcess(Process process) => _process = process;

    public static ClientProcess Start(Uri server, string model, int vocabularySize)
    {
        ProcessStartInfo how = new(Environment.ProcessPath!) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) is "dotnet")
            how.ArgumentList.Add(typeof(ClientProcess).Assembly.Location);
        foreach (string argument in (string[])[Argument, server.ToString(), model, vocabularySize.ToString(CultureInfo.InvariantCulture)])
            how.ArgumentList.Add(argument);
        return new ClientProcess(Process.Start(how) ?? throw new InvalidOperationException("The client's process does not start."));
    }

    /// <summary>Lets the other process do this work.</summary>
    public async Task<ClientRun> RunAsync(ClientWork work)
    {
        await _process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(work));
        string line = await _process.StandardOutput.ReadLineAsync().WaitAsync(Limit) ?? throw new InvalidOperationException("The client has ended.");
        return JsonSerializer.Deserialize<ClientRun>(line)!;
    }

    /// <summary>The other process: a line of work in, a line of results out, until the input ends. Null where this program was not started as that.</summary>
    public static async Task<int?> AnswerAsync(string[] arguments)
    {
        if (arguments is not [Argument, var address, var model, var vocabulary])
            return null;
        Client client = new(new Uri(address), model, int.Parse(vocabulary, CultureInfo.InvariantCulture));
        while (await Console.In.ReadLineAsync() is { } line)
            Console.WriteLine(JsonSerializer.Serialize(await client.RunAsync(JsonSerializer.Deserialize<ClientWork>(line)!).WaitAsync(Limit)));
        return 0;
    }

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private sealed class Client(Uri server, string model, int vocabularySize)
    {
        private readonly Stack<LeanConnection> _idle = [];

        public async Task<ClientRun> RunAsync(ClientWork work)
        {
            string[] bodies = [.. Enumerable.Range(0, work.Streams).Select(i => Body(work.Input, work.Output, (work.Seed * 1009) + i))];
            string late = work.LateTokens > 0 ? Body(work.LateTokens, 1, work.Seed) : "";
            List<long>[] stamps = [.. bodies.Select(_ => new List<long>(work.Output + 2))];
            long start = Stopwatch.GetTimestamp(), lateStart = 0, lateEnd = long.MaxValue;
            Task[] streams = [.. bodies.Select((body, i) => PostAsync(body, stamps[i].Add))];
            if (work.LateTokens > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds(work.LateAfterSeconds));
                lateStart = Stopwatch.GetTimestamp();
                await PostAsync(late, null);
                lateEnd = Stopwatch.GetTimestamp();
            }
            await Task.WhenAll(streams);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds, gap = 0;
            foreach (List<long> list in stamps)
                for (int i = 9; i < list.Count; i++)
                    if (list[i] >= lateStart && list[i - 1] <= lateEnd)
                        gap = Math.Max(gap, Stopwatch.GetElapsedTime(list[i - 1], list[i]).TotalSeconds);
            return new ClientRun(seconds, [.. stamps.Select(list => Stopwatch.GetElapsedTime(start, list[0]).TotalSeconds)], gap,
                lateStart == 0 ? 0 : Stopwatch.GetElapsedTime(lateStart, lateEnd).TotalSeconds);
        }

        private string Body(int input, int output, int seed)
        {
            Random random = new(seed);
            return Server.CompletionBody(model, [.. Enumerable.Range(0, input).Select(_ => random.Next(1000, vocabularySize - 1000))], output, "\"temperature\":0", ignoreEos: true);
        }

        private async Task PostAsync(string body, Action<long>? onChunk)
        {
            LeanConnection? connection;
            lock (_idle)
                _idle.TryPop(out connection);
            connection ??= await LeanConnection.OpenAsync(server);
            await connection.PostAsync("/v1/completions", body, onChunk);
            lock (_idle)
                _idle.Push(connection);
        }
    }
}

/// <param name="Streams">Requests at once.</param>
internal sealed record ClientWork(int Streams, int Input, int Output, int Seed)
{
    /// <summary>A prompt of so many tokens, for one token, that arrives later; 0 for none.</summary>
    public int LateTokens { get; init; }

    public double LateAfterSeconds { get; init; }
}

/// <param name="LargestGapSeconds">Between a stream's chunks while the late prompt was computed; else from the ninth on.</param>
internal sealed record ClientRun(double Seconds, double[] FirstTokenSeconds, double LargestGapSeconds, double LateSeconds);
