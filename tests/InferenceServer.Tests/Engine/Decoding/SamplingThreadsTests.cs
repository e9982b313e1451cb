using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Tests.Engine.Decoding;

public sealed class SamplingThreadsTests
{
    [Fact]
    public void A_run_ends_when_every_row_was_sampled_and_not_before()
    {
        const int Streams = 8, Runs = 20_000;
        using SchedulerDriver driver = new();
        List<Generation> replies = [.. Enumerable.Range(0, Streams).Select(i => driver.Submit([1, 2, 3 + i], 100, request => request with { IgnoreEndOfGeneration = true }))];
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 2))
            driver.Step();
        StepPlan plan = driver.Scheduler.Plan(driver.Time.GetTimestamp());
        Assert.Equal(Streams, plan.Slices.Count);

        float[][] logits = [.. Enumerable.Range(0, plan.Rows.Count).Select(row => Enumerable.Range(0, ScriptedDecoder.VocabularySize).Select(i => (float)((i * 7) + row) % 5).ToArray())];
        using SamplingThreads threads = new(row => logits[row]);
        StepResult result = new();
        for (int run = 0; run < Runs; run++)
        {
            result.Begin(plan);
            threads.Run(plan, result);
            for (int slice = 0; slice < Streams; slice++)
                Assert.True(result.CountOf(slice) == 1, $"run {run}: {result.CountOf(slice)} tokens in slice {slice}: {result.FailureOf(slice)}");
        }
    }
}
