// Taking in a step: computed tokens, new tokens, ends.

using System.Diagnostics;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    private void Apply(PlanSlice slice, int sliceIndex, StepResult result, long now)
    {
        Sequence sequence = slice.Sequence;
        int before = sequence.Computed;
        sequence.Computed += slice.RowCount;
        CountPromptRows(sequence, before);
        if (before < sequence.PromptCount)
            Cache.Publish(sequence, Math.Min(sequence.Computed, sequence.PromptCount));

        int sampled = result.CountOf(sliceIndex);
        if (sampled == 0)
            return;
        sequence.FailedSteps = 0;
        sequence.BatchRows += _plan.Rows.Count;
        sequence.BatchSteps++;
        sequence.FirstToken ??= now;
        for (int i = 0; i < sampled; i++)
            if (TakeToken(sequence, result.TokenOf(sliceIndex, i)) is { } reason)
            {
                _running.Remove(sequence);
                Finish(sequence, reason, now);
                return;
            }
    }

    private void CountPromptRows(Sequence sequence, int before)
    {
        int promptRows = Math.Min(sequence.Computed, sequence.PromptCount) - Math.Min(before, sequence.PromptCount);
        int fresh = Math.Max(0, Math.Min(sequence.Computed, sequence.PromptCount) - sequence.PromptReached);
        Counters.Prompt += fresh;
        Counters.PromptComputed += fresh;
        Counters.Recomputed += promptRows - fresh;
        sequence.PromptReached += fresh;
        // Tokens of the reply computed in bulk were computed before a preemption.
        if (sequence.Computed - before > 1 && sequence.Computed > sequence.PromptCount)
            Counters.Recomputed += sequence.Computed - Math.Max(before, sequence.PromptCount) - 1;
    }

    /// <summary>Adds a token to the reply and says whether it ends it.</summary>
    private FinishReason? TakeToken(Sequence sequence, SampledToken sampled)
    {
        GenerationRequest request = sequence.Request;
        if (request.MaxTokens == 0)
            return FinishReason.Length;
        Counters.Completion++;
        sequence.Append(sampled.Token);
        bool ends = !request.IgnoreEndOfGeneration && _vocabulary.IsEndOfGeneration(sampled.Token);
        if (ends || (request.StopTokens.Count > 0 && request.StopTokens.Contains(sampled.Token)))
            return FinishReason.Stop;

        string text = sequence.Text.Append(_vocabulary.TokenBytes(sampled.Token, request.EmitControlTokens));
        Outbox.Add((sequence.Generation, new GenerationEvent(GenerationEventKind.Token, text, sampled.Token, sampled.Logprobs, null)));
        if (sequence.Text.MatchedStop is not null)
            return FinishReason.Stop;
        return sequence.CompletionCount >= request.MaxTokens || sequence.Count >= _limits.ContextLength ? FinishReason.Length : null;
    }

    /// <summary>The sequence is in neither list any more: frees what it holds and writes its last event.</summary>
    private void Finish(Sequence sequence, FinishReason reason, long now, string? error = null)
    {
        Debug.Assert(!_running.Contains(sequence) && !_waiting.Contains(sequence));
        Cache.Release(sequence);
        Counters.CountEnd(reason);
        if (reason is FinishReason.Cancelled)
            Counters.Wasted += sequence.CompletionCount;
        string rest = sequence.Text.Finish();
        Outbox.Add((sequence.Generation, new GenerationEvent(GenerationEventKind.Finished, rest, -1, null, new GenerationResult
        {
            FinishReason = reason,
            Error = error,
            StopString = sequence.Text.MatchedStop,
            PromptTokens = sequence.PromptCount,
            CachedTokens = sequence.CachedTokens,
            CompletionTokens = sequence.CompletionCount,
            Timing = TimingOf(sequence, now),
            Cache = CacheReport.None with { HostTokens = sequence.HostTokens },
        })));
    }

    private GenerationTiming TimingOf(Sequence sequence, long now)
    {
        long scheduled = sequence.FirstScheduled ?? now;
        long first = sequence.FirstToken ?? now;
        return new GenerationTiming(
            _time.GetElapsedTime(sequence.Arrival, scheduled).TotalSeconds,
            _time.GetElapsedTime(scheduled, first).TotalSeconds,
            _time.GetElapsedTime(first, now).TotalSeconds,
            sequence.BatchSteps == 0 ? 0 : (double)sequence.BatchRows / sequence.BatchSteps);
    }
}
