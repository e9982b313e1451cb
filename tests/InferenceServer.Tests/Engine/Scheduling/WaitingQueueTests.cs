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
