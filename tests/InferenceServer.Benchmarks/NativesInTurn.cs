using System.Diagnostics;
using InferenceServer.Llama;

namespace InferenceServer.Benchmarks;

/// <summary>Every work with one build of llama.cpp after the other. A process holds one, so each has a process of its own.</summary>
internal static class NativesInTurn
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(15);

    /// <param name="arguments">This program's own; what is put after them wins.</param>
    public static async Task<List<BenchmarkRow>> RunAsync(string[] arguments, IEnumerable<string> works, IReadOnlyList<NativeSource> sources)
    {
        List<BenchmarkRow> rows = [];
        foreach (string work in works)
            foreach (NativeSource source in sources)
                rows.AddRange((await RunAsync(arguments, work, source)).Select(row => row with { Work = $"{row.Work}: {source}" }));
        return rows;
    }

    private static async Task<IReadOnlyList<BenchmarkRow>> RunAsync(string[] arguments, string work, NativeSource source)
    {
        string results = Path.GetTempFileName();
        try
        {
            ProcessStartInfo start = new(Environment.ProcessPath!);
            if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) is "dotnet")
                start.ArgumentList.Add(typeof(NativesInTurn).Assembly.Location);
            foreach (string argument in (string[])[.. Without(arguments, "--only", "--natives", "--json"), "--only", work, "--natives", source.ToString(), "--json", results])
                start.ArgumentList.Add(argument);
            start.RedirectStandardOutput = true;
            using Process child = Process.Start(start)!;
            using CancellationTokenSource limit = new(Limit);
            Task<string> output = child.StandardOutput.ReadToEndAsync(limit.Token);
            try
            {
                await child.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                child.Kill(entireProcessTree: true);
                throw new TimeoutException($"{work} with {source}'s libraries took longer than {Limit.TotalMinutes} minutes.");
            }
            return child.ExitCode == 0 ? Report.Read(results) : throw new InvalidOperationException($"{work} with {source}'s libraries ended with {child.ExitCode}: {await output}");
        }
        finally
        {
            File.Delete(results);
        }
    }

    /// <summary>The arguments less these options and their values.</summary>
    private static IEnumerable<string> Without(string[] arguments, params string[] options)
    {
        bool dropping = false;
        foreach (string argument in arguments)
        {
            if (argument.StartsWith("--", StringComparison.Ordinal))
                dropping = options.Contains(argument);
            if (!dropping)
                yield return argument;
        }
    }
}
