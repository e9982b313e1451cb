// Samples a step's rows on the decode thread and a few helpers. The helpers own nothing: each takes one slice's logits and that
// sequence's sampler at a time, and all have finished when Run returns.

using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Decoding;

internal sealed class SamplingThreads : IDisposable
{
    /// <summary>With fewer rows, waking a helper (10-20 us) costs more than it takes off: a row of 152k logits takes 15 to 40 us.</summary>
    private const int SlicesPerThread = 4;

    /// <summary>Those who are woken last would find nothing left: a step has 64 rows to sample, rarely more.</summary>
    private const int MaxHelpers = 15;

    private readonly SemaphoreSlim _work = new(0);
    private readonly SemaphoreSlim _done = new(0);
    private readonly Thread[] _helpers;
    private readonly LogitsOfRow _logits;
    private StepPlan? _plan;
    private StepResult? _result;
    private volatile bool _stopping;
    private int _nextSlice;

    /// <param name="logits">Callable from several threads at once after it was called for one row.</param>
    public SamplingThreads(LogitsOfRow logits)
    {
        _logits = logits;
        _helpers = new Thread[Math.Clamp(Environment.ProcessorCount - 1, 0, MaxHelpers)];
        for (int i = 0; i < _helpers.Length; i++)
        {
            _helpers[i] = new Thread(Help) { Name = "sampling", IsBackground = true };
            _helpers[i].Start();
        }
    }

    public void Run(StepPlan plan, StepResult result)
    {
        (_plan, _result, _nextSlice) = (plan, result, 0);
        int helpers = Math.Min(_helpers.Length, plan.Slices.Count / SlicesPerThread);
        if (helpers > 0)
            _work.Release(helpers);
        TakeSlices();
        // One by one: a count that is set anew each step can be met by a helper that is still telling of the step before.
        for (int i = 0; i < helpers; i++)
            _done.Wait();
    }

    public void Dispose()
    {
        _stopping = true;
        _work.Release(Math.Max(_helpers.Length, 1));
        foreach (Thread helper in _helpers)
            helper.Join();
        _work.Dispose();
        _done.Dispose();
    }

    private void Help()
    {
        while (true)
        {
            _work.Wait();
            if (_stopping)
                return;
            TakeSlices();
            _done.Release();
        }
    }

    private void TakeSlices()
    {
        for (int slice; (slice = Interlocked.Increment(ref _nextSlice) - 1) < _plan!.Slices.Count;)
            try
            {
                RowSampler.Sample(_plan, slice, _logits, _result!);
            }
#pragma warning disable CA1031 // Whatever a sampler or a grammar throws ends that request with its message; a helper must not take the process down.
            catch (Exception e)
#pragma warning restore CA1031
            {
                _result!.Fail(slice, e.Message);
            }
    }
}
