using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine;

/// <summary>
/// Turns the scheduler's crank step by step over a scripted decoder and a fake clock, checking every invariant after every step. Disk commands
/// run on the caller's thread, between steps, so that a run is the same each time. Where the limits' device computes ahead, a step stays in flight while the
/// next is planned, as in the loop.
/// </summary>
internal sealed class SchedulerDriver : IDisposable
{
    private const int MostEmptySteps = 20_000;

    private readonly DiskTier? _disk;

    private readonly StepResult _result = new();
    private readonly Dictionary<Generation, List<GenerationEvent>> _events = [];
    private StepPlan? _inFlight;
    private int _emptySteps;

    public SchedulerDriver(EngineOptions? options = null, DecoderLimits? limits = null, Func<FakeTimeProvider, ScriptedDraftContext>? draft = null, int longestDraft = 4)
    {
        Limits = limits ?? new DecoderLimits(Cells: 4096, ContextLength: 4096, SequenceIds: 33, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        Decoder = new ScriptedDecoder(Limits);
        options ??= new EngineOptions();
        if (options.DiskCacheDirectory is { } directory)
        {
            _disk = new DiskTier(new DiskStore(directory, Fingerprint, Time), options.DiskCacheBytes);
            _disk.Scan();
        }
        Drafts = draft?.Invoke(Time);
        Scheduler = new Scheduler(options, Limits, ScriptedDecoder.Vocabulary, Time, _disk, Drafts is null ? null : new Drafter(Drafts, longestDraft, leastProbability: 0.5f, Time, NullLogger.Instance));
    }

    public static byte[] Fingerprint { get; } = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];

    public FakeTimeProvider Time { get; } = new();

    /// <summary>How many disk commands run before a step; null for all that wait.</summary>
    public int? DiskCommandsPerStep { get; set; }

    public DecoderLimits Limits { get; }

    public ScriptedDecoder Decoder { get; }

    public Scheduler Scheduler { get; }

    /// <summary>Null without a draft model.</summary>
    public ScriptedDraftContext? Drafts { get; }

    /// <summary>How long each step seems to take.</summary>
    public TimeSpan StepTime { get; set; } = TimeSpan.FromMilliseconds(10);

    public Generation Submit(int[] prompt, int maxTokens = 8, Func<GenerationRequest, GenerationRequest>? change = null)
    {
        GenerationRequest request = new() { PromptTokens = prompt, MaxTokens = maxTokens };
        Generation generation = new(change?.Invoke(request) ?? request);
        _events.Add(generation, []);
        Scheduler.Accept(generation, Time.GetTimestamp());
        return generation;
    }

    public StepPlan Step()
    {
        RunDisk(DiskCommandsPerStep ?? int.MaxValue);
        Scheduler.Cache.SettleDiskTier();
        Scheduler.PlanIdleWork();
        StepPlan plan = Scheduler.Plan(Time.GetTimestamp());
        if (_inFlight is not null)
            Collect();
        if (Scheduler.DraftJobs.Count > 0)
        {
            Scheduler.Drafter!.Run(Scheduler.DraftJobs);
            Scheduler.PlanDrafted();
        }
        bool launched = !plan.IsEmpty && Launch(plan);
        Deliver();
        if (launched && !Limits.Device.ComputesAhead)
        {
            Collect();
            Deliver();
        }
        if (plan.IsEmpty)
            Time.Advance(StepTime);
        EngineInvariants.Check(Scheduler);
        // A test that steps until something happens must fail where it never does.
        _emptySteps = plan.IsEmpty ? _emptySteps + 1 : 0;
        Assert.True(_emptySteps < MostEmptySteps, $"nothing was done for {MostEmptySteps} steps");
        return plan;
    }

    private bool Launch(StepPlan plan)
    {
        Decoder.Launch(plan, _result);
        if (_result.Error is not null)
        {
            Deliver();
            Recover(plan);
            return false;
        }
        if (Limits.SharesCells)
            Assert.Equal(Scheduler.Cache.Ledger.Total - Scheduler.Cache.Ledger.Free, Decoder.UsedCells);
        _inFlight = plan;
        Scheduler.Launched();
        return true;
    }

    private void Collect()
    {
        (StepPlan plan, _inFlight) = (_inFlight!, null);
        Decoder.Collect(plan, _result);
        Time.Advance(StepTime);
        if (_result.Error is null)
            Scheduler.Take(_result, Time.GetTimestamp(), StepTime.TotalSeconds);
        else
            Recover(plan);
    }

    private void Recover(StepPlan failed)
    {
        Decoder.ClearMemory();
        Scheduler.Recover(failed, _result.Error!, Time.GetTimestamp());
    }

    private void Deliver()
    {
        Scheduler.Deliver(Time.GetTimestamp());
        foreach ((Generation generation, GenerationEvent e) in Scheduler.Outbox)
        {
            Assert.DoesNotContain(_events[generation], old => old.Kind == GenerationEventKind.Finished);
            _events[generation].Add(e);
        }
        Scheduler.Outbox.Clear();
    }

    public void RunDisk(int commands)
    {
        for (int i = 0; i < commands && _disk is not null && _disk.Store.RunOne(); i++)
        {
        }
    }

    /// <summary>Saves and writes all that can be, as a graceful stop does.</summary>
    public void Flush()
    {
        for (int i = 0; i < 10_000; i++)
        {
            RunDisk(int.MaxValue);
            Scheduler.Cache.SettleDiskTier();
            if (Scheduler.Cache.PendingOps.Count > 0 || Scheduler.Cache.SaveOneIdle(unloadWritten: true))
                Step();
            else if (!Scheduler.Cache.HasDiskWrites)
                return;
        }
        Assert.Fail("the flush does not end");
    }

    public void Dispose() => _disk?.Dispose();

    /// <summary>Steps until nothing is left to do; fails when that takes suspiciously long.</summary>
    public int RunToEnd(int maxSteps = 10_000)
    {
        int steps = 0;
        for (; Scheduler.HasWork; steps++)
        {
            Assert.True(steps < maxSteps, $"still work after {maxSteps} steps: {Scheduler.Running.Count} running, {Scheduler.Waiting.Count} waiting");
            Step();
        }
        return steps;
    }

    public IReadOnlyList<GenerationEvent> EventsOf(Generation generation) => _events[generation];

    public int[] TokensOf(Generation generation) => [.. _events[generation].Where(e => e.Kind == GenerationEventKind.Token).Select(e => e.Token)];

    public GenerationResult? ResultOf(Generation generation) => _events[generation].LastOrDefault().Result;

    public void AssertReply(Generation generation)
    {
        GenerationRequest request = generation.Request;
        Assert.Equal(ScriptedDecoder.Reply(request.PromptTokens.Span, request.MaxTokens, Limits.ContextLength, request.Adapters), TokensOf(generation));
        Assert.NotNull(ResultOf(generation));
    }
}
