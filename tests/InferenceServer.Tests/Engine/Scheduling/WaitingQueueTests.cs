using InferenceServer.Engine;
using static InferenceServer.Tests.Engine.ScriptedDecoder;

namespace InferenceServer.Tests.Engine.Scheduling;

public sealed class WaitingQueueTests
{
    [Fact]
    public void Behind_a_thousand_of_one_key_another_key_and_a_higher_class_are_seen_at_once()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 2, MaxQueue = 2000 });
        for (int i = 0; i < 1000; i++)
            driver.Submit(Prompt(10, salt: i), 4, r => r with { FairnessKey = "busy" });
        Generation other = driver.Submit(Prompt(10, salt: 1001), 4, r => r with { FairnessKey = "other" });
        Generation urgent = driver.Submit(Prompt(10, salt: 1002), 4, r => r with { FairnessKey = "busy", Priority = RequestPriority.Priority });
        for (int i = 0; driver.ResultOf(other) is null || driver.ResultOf(urgent) is null; i++)
        {
            Assert.True(i < 20, "one of the two stands behind the thousand");
            driver.Step();
        }
        Assert.True(driver.Scheduler.Counters.Finished <= 4, $"{driver.Scheduler.Counters.Finished} requests went first");
    }

    [Fact]
    public void Who_waits_is_told_the_place_at_which_it_begins_and_who_has_begun_has_none()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 1 });
        Generation running = driver.Submit(Prompt(10), 4, r => r with { FairnessKey = "busy" });
        driver.Step();
        List<Generation> waiting = [.. Enumerable.Range(1, 3).Select(i => driver.Submit(Prompt(10, salt: i), 4, r => r with { FairnessKey = "busy" }))];
        waiting.AddRange(Enumerable.Range(4, 2).Select(i => driver.Submit(Prompt(10, salt: i), 4, r => r with { FairnessKey = "other" })));
        waiting.Add(driver.Submit(Prompt(10, salt: 6), 4, r => r with { FairnessKey = "busy", Priority = RequestPriority.Priority }));
        Generation gone = driver.Submit(Prompt(10, salt: 7), 4, r => r with { FairnessKey = "busy", Priority = RequestPriority.Priority });
        gone.Cancel();
        driver.Step();
        Tell();
        Assert.Null(running.QueuePosition);
        Assert.Equal(1, waiting[^1].QueuePosition);
        List<Generation> foreseen = [.. waiting.OrderBy(generation => generation.QueuePosition)];
        Assert.Equal([1, 2, 3, 4, 5, 6], foreseen.Select(generation => generation.QueuePosition!.Value));

        List<Generation> begun = [];
        while (begun.Count < waiting.Count)
        {
            driver.Step();
            Tell();
            begun.AddRange(foreseen.Where(generation => generation.QueuePosition is null && !begun.Contains(generation)));
            Assert.Equal(Enumerable.Range(1, waiting.Count - begun.Count), waiting.Select(generation => generation.QueuePosition).OfType<int>().Order());
        }
        Assert.Equal(foreseen, begun);

        void Tell() => driver.Scheduler.TellPositions(driver.Time.GetTimestamp());
    }

    [Fact]
    public void Requests_that_wait_for_anothers_prefix_do_not_hide_those_that_could_run()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 8, MaxQueue = 2000 });
        int[] shared = Prompt(3000);
        driver.Submit([.. shared, 1], 4);
        driver.Step();
        for (int i = 0; i < 200; i++)
            driver.Submit([.. shared, 2, i % 60], 4);
        Generation free = driver.Submit(Prompt(10, salt: 77), 4);
        for (int i = 0; driver.ResultOf(free) is null; i++)
        {
            Assert.True(i < 8, "it waits for a prompt that it has no part in");
            driver.Step();
        }
        Assert.True(driver.Scheduler.Waiting.Count > 100, "all others had their turn before");
        driver.RunToEnd();
    }
}
