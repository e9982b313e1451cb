using System.Globalization;
using InferenceServer.Engine;

namespace InferenceServer.Benchmarks;

/// <summary>A draft model that agrees with the model, and one that never does: served with it against served without, the two in turn.</summary>
internal static class DraftWork
{
    private const int Input = 64, Output = 128, Cells = 8192;

    /// <summary>What a draft model may cost where it is of no use.</summary>
    private const double LeastWhereUseless = 0.97;

    public static async Task<BenchmarkRow[]> RunAsync(BenchmarkSetup setup)
    {
        string folder = Directory.CreateTempSubdirectory("inference-server-benchmark-").FullName;
        try
        {
            (string target, string agreeing, string differing) = DraftModelPair.Write(folder);
            List<BenchmarkRow> rows = [];
            await using Server plain = await Server.StartAsync(setup, target, Cells, []);
            foreach ((string name, string draft) in ((string, string)[])[("agrees", agreeing), ("differs", differing)])
            {
                await using Server drafting = await Server.StartAsync(setup, target, Cells, ["--draft-model", draft, "--draft-p-min", "0"]);
                foreach (int streams in (int[])[1, setup.Options.Streams])
                    rows.Add(await MeasureAsync(setup, plain, drafting, name, streams));
            }
            return [.. rows];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<BenchmarkRow> MeasureAsync(BenchmarkSetup setup, Server plain, Server drafting, string name, int streams)
    {
        EngineSnapshot start = drafting.Engine.Snapshot;
        Pairs pairs = await Pairs.RunAsync(setup.Options.Pairs, pair => RunAsync(plain, streams, pair), pair => RunAsync(drafting, streams, pair));
        EngineSnapshot end = drafting.Engine.Snapshot;
        double bar = name == "agrees" && streams == 1 ? 1 : LeastWhereUseless, tokens = streams * Output;
        long drafted = end.ModelDraftTokens - start.ModelDraftTokens, accepted = end.ModelDraftTokensAccepted - start.ModelDraftTokensAccepted;
        double share = (end.DraftSeconds - start.DraftSeconds) / (end.StepSeconds - start.StepSeconds + end.DraftSeconds - start.DraftSeconds);
        return new BenchmarkRow($"{streams} stream{(streams == 1 ? "" : "s")}, {Input} in, {Output} out, greedy, a draft model that {name}", $">= {bar.ToString("F2", CultureInfo.InvariantCulture)} of the same without",
            string.Create(CultureInfo.InvariantCulture,
                $"{pairs.Ratio:F3} ({tokens / Report.Median(pairs.SecondSeconds):F0} of {tokens / Report.Median(pairs.FirstSeconds):F0} tok/s; pairs {pairs}); {accepted} of {drafted} guesses came true, {share:P1} of the time in the draft model"),
            pairs.Ratio >= bar, new() { ["ratio"] = pairs.Ratio, ["drafted"] = drafted, ["accepted"] = accepted, ["draftShare"] = share });
    }

    private static async Task<double> RunAsync(Server server, int streams, int pair)
    {
        double seconds = await server.RunAsync(Enumerable.Range(0, streams).Select(i => Prompt((pair * 100) + i)), Output);
        await server.RestAsync();
        return seconds;
    }

    private static int[] Prompt(int seed)
    {
        Random random = new(seed + 1000);
        return [.. Enumerable.Range(0, Input).Select(_ => random.Next(300, DraftModelPair.VocabularySize))];
    }
}
