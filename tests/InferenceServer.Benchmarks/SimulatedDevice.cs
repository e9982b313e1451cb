using System.Diagnostics;
using System.Runtime.InteropServices;
using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;

namespace InferenceServer.Benchmarks;

/// <summary>
/// A device that costs time and computes nothing: steps take what an H200 took with a 0.6B model (gpu-kit, 2026-11-28), on a clock of their own while the host goes
/// on; saves and restores hold device and host. Tokens come as the device samples them, or are drawn on the host from rows of logits that lie ready.
/// </summary>
internal sealed partial class SimulatedDevice : IDecoder
{
    public const int ContextLength = 16_384;

    /// <summary>Seconds of a step by its rows that want logits, and of a prompt's row.</summary>
    private static readonly (int Rows, double Seconds)[] StepSeconds = [(1, 0.0014), (16, 0.0034), (64, 0.0058), (256, 0.0154)];
    private const double PromptRowSeconds = 8e-6;

    /// <summary>28 layers with 8 heads of 128 keys and as many values, in 16 bits.</summary>
    private const long StateBytesPerToken = 114_688;
    private const double BytesPerSecond = 20e9;

    // Sleeping wakes up late by some 60 us; the rest is waited for awake, as a driver does.
    private const double AwakeSeconds = 150e-6;

    private readonly int _vocabularySize;
    private readonly SamplingThreads? _sampling;
    private readonly float[][] _logits;
    private double _freeAt;
    private ulong _draws;

    /// <param name="hostSampling">Rows of logits are sampled on the host; else the device has done it.</param>
    public SimulatedDevice(int vocabularySize, int maxSequences, bool hostSampling)
    {
        _vocabularySize = vocabularySize;
        Limits = new DecoderLimits(
            Cells: 1 << 19, ContextLength, SequenceIds: 256, BatchSize: 2048, MaxOutputs: maxSequences + Scheduler.DraftRows, SharesCells: true, StateBytesPerToken,
            Profile: new DeviceProfile(
                [(1, StepSeconds[0].Seconds), (64, StepSeconds[2].Seconds), (512, StepSeconds[0].Seconds + (512 * PromptRowSeconds))],
                IdleCellSeconds: 0, StateBytesPerToken / BytesPerSecond, StateBytesPerToken / BytesPerSecond, ComputesAhead: true));
        Random random = new(1);
        _logits = [.. Enumerable.Range(0, hostSampling ? 4 : 0).Select(_ => Enumerable.Range(0, vocabularySize).Select(_ => (float)random.NextDouble()).ToArray())];
        _sampling = hostSampling ? new SamplingThreads(row => _logits[row % _logits.Length]) : null;
    }

    public DecoderLimits Limits { get; }

    /// <summary>What the device itself takes for a step with so many replies.</summary>
    public static double DecodeSeconds(int rows)
    {
        int above = 1;
        while (above < StepSeconds.Length - 1 && StepSeconds[above].Rows < rows)
            above++;
        ((int fromRows, double from), (int toRows, double to)) = (StepSeconds[above - 1], StepSeconds[above]);
        return from + ((to - from) * (rows - fromRows) / (toRows - fromRows));
    }

    /// <summary>And for prompts of so many tokens together, in one step.</summary>
    public static double PromptSeconds(int rows) => StepSeconds[0].Seconds + (rows * PromptRowSeconds);

    public void Launch(StepPlan plan, StepResult result)
    {
        result.Begin(plan);
        foreach (KvOp op in plan.Ops)
            Apply(op, result);
        if (plan.Rows.Count == 0)
            return;
        int outputs = 0;
        foreach (PlanRow row in plan.Rows)
            outputs += row.WantsLogits ? 1 : 0;
        double seconds = (outputs > 0 ? DecodeSeconds(outputs) : StepSeconds[0].Seconds) + ((plan.Rows.Count - outputs) * PromptRowSeconds);
        _freeAt = Math.Max(_freeAt, Now) + seconds;
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        WaitUntil(_freeAt);
        if (plan.Rows.Count == 0)
            return;
        if (_sampling is not null)
        {
            long start = Stopwatch.GetTimestamp();
            _sampling.Run(plan, result);
            result.SamplingSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            return;
        }
        for (int i = 0; i < plan.Slices.Count; i++)
            if (plan.Rows[plan.Slices[i].LastRow].WantsLogits && plan.Slices[i].ReachesEnd(plan))
                result.Add(i, new SampledToken(1000 + (int)(_draws++ * 7919 % (ulong)(_vocabularySize - 2000)), null));
    }

    public EngineAdapter LoadAdapter(LlamaAdapterFile file, Action<EngineAdapter> unused) => new(file, null, unused);

    public void FreeAdapter(EngineAdapter adapter)
    {
    }

    public void ClearMemory()
    {
    }

    public void Rest()
    {
    }

    public void Dispose() => _sampling?.Dispose();

    private static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    private void Apply(KvOp op, StepResult result)
    {
        if (op.Kind is not (KvOpKind.Save or KvOpKind.Restore))
            return;
        _freeAt = Math.Max(_freeAt, Now) + ((op.End - op.Start) * StateBytesPerToken / BytesPerSecond);
        long start = Stopwatch.GetTimestamp();
        WaitUntil(_freeAt);
        result.OperationSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (op.Kind is KvOpKind.Save)
            op.Blob!.Fill(new byte[(op.End - op.Start) * 16]); // Not of its true size: the memory is not what is measured.
    }

    private static void WaitUntil(double time)
    {
        double left = time - Now;
        if (left > AwakeSeconds)
            Sleep(left - AwakeSeconds);
        while (Now < time)
            Thread.SpinWait(20);
    }

    private static unsafe void Sleep(double seconds)
    {
        if (!OperatingSystem.IsLinux())
        {
            Thread.Sleep(TimeSpan.FromSeconds(seconds));
            return;
        }
        long* time = stackalloc long[2] { (long)seconds, (long)((seconds - Math.Floor(seconds)) * 1e9) };
        _ = NanoSleep(time, null);
    }

    [LibraryImport("libc", EntryPoint = "nanosleep")]
    private static unsafe partial int NanoSleep(long* time, long* left);
}
