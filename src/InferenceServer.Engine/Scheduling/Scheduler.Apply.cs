// Taking in a step: computed tokens, new tokens, ends.

using System.Diagnostics;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;

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
            Cache.PublishPrompt(sequence);

        if (result.FailureOf(sliceIndex) is { } failure)
        {
            // Tokens drawn before the failure were not taken; rows of drafts go with them.
            if (slice.DraftCount > 0)
            {
                Cache.Discard(sequence, sequence.Computed - slice.DraftCount, sequence.Computed);
                sequence.Computed -= slice.DraftCount;
            }
            FinishUndrawn(sequence, failure, now);
            return;
        }
        int sampled = result.CountOf(sliceIndex);
        if (sampled == 0)
            return;
        sequence.Generation.PromptLogprobs ??= sequence.PromptLogprobs;
        sequence.FailedSteps = 0;
        sequence.BatchSequences += _plan.Slices.Count;
        sequence.BatchSteps++;
        sequence.FirstToken ??= now;
        FinishReason? reason = null;
        for (int i = 0; i < sampled && reason is null; i++)
            reason = TakeToken(sequence, result.TokenOf(sliceIndex, i));
        TakeBackDrafts(sequence, slice, sampled);
        try
        {
            if (reason is null && sequence.Thinking is { IsSpent: true })
                reason = EndThinking(sequence);
            if (reason is null && sequence.Constraint is not null)
                reason = ForceTokens(sequence);
        }
#pragma warning disable CA1031 // As where tokens are drawn: what a grammar throws must not end the decode thread, and with it everybody's request.
        catch (Exception e)
#pragma warning restore CA1031
        {
            FinishUndrawn(sequence, e.Message, now);
            return;
        }
        if (reason is { } end)
        {
            _running.Remove(sequence);
            Finish(sequence, end, now);
        }
    }

    private void FinishUndrawn(Sequence sequence, string failure, long now)
    {
        _running.Remove(sequence);
        Finish(sequence, FinishReason.Failed, now, $"No token could be drawn for this request: {failure}");
    }

    /// <summary>Rows of drafts that did not come true, or that lie behind the reply's end, are not part of the sequence.</summary>
    private void TakeBackDrafts(Sequence sequence, PlanSlice slice, int sampled)
    {
        if (slice.DraftCount == 0)
            return;
        int accepted = sampled - 1, drafted = slice.DraftCount - slice.FillCount;
        sequence.Speculation!.Report(drafted, Math.Min(accepted, drafted));
        Counters.Drafted += drafted;
        Counters.DraftsAccepted += Math.Min(accepted, drafted);
        int end = sequence.Computed;
        int kept = Math.Min(end - (slice.DraftCount - accepted), sequence.Count);
        if (kept == end)
            return;
        Cache.Discard(sequence, kept, end);
        sequence.Computed = kept;
    }

    /// <summary>Writes what ends the thinking, in the model's place; the reply goes on from there.</summary>
    private FinishReason? EndThinking(Sequence sequence)
    {
        foreach (int token in sequence.Request.Thinking!.CloseTokens.Span)
        {
            if (sequence.Constraint is { } constraint && !constraint.TryAccept(token))
                throw new InvalidOperationException($"The constraint forbids token {token}, which ends the thinking.");
            sequence.Sampler.Accept(token);
            Counters.Forced++;
            if (TakeToken(sequence, new SampledToken(token, null)) is { } reason)
                return reason;
        }
        return null;
    }

    /// <summary>Appends what the grammar leaves no choice about, without sampling.</summary>
    private FinishReason? ForceTokens(Sequence sequence)
    {
        ConstraintState constraint = sequence.Constraint!;
        if (constraint.MustEnd)
            return FinishReason.Stop;
        // A token that was not sampled has no log probability: where they are wanted, every token is.
        if (sequence.Request.Sampling.TopLogprobs is not null)
            return null;
        Span<int> forced = stackalloc int[MaxForcedTokens];
        int count = constraint.ForcedTokens(forced);
        for (int i = 0; i < count; i++)
        {
            if (!constraint.TryAccept(forced[i]))
                throw new InvalidOperationException($"The constraint forbids token {forced[i]}, which it forced.");
            sequence.Sampler.Accept(forced[i]);
            Counters.Forced++;
            if (TakeToken(sequence, new SampledToken(forced[i], null)) is { } reason)
                return reason;
        }
        return constraint.MustEnd ? FinishReason.Stop : null;
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
        int replyRows = sequence.Computed - Math.Max(before, sequence.PromptCount);
        if (replyRows > MaxForcedTokens + ThinkingLimit.MaxCloseTokens + 1 + Speculation.LongestDraft)
            Counters.Recomputed += replyRows - 1;
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

        string text = sequence.Text.Append(_vocabulary.TokenBytes(sampled.Token, request.ControlTokensInText?.Contains(sampled.Token) == true));
        Outbox.Add((sequence.Generation, new GenerationEvent(GenerationEventKind.Token, text, sampled.Token, sampled.Logprobs, null)));
        sequence.Thinking?.Take(text);
        if (sequence.Text.MatchedStop is not null)
            return FinishReason.Stop;
        if (sequence.CompletionCount < request.MaxTokens && sequence.Count < _limits.ContextLength)
            return null;
        return sequence.Constraint is { MustEnd: true } ? FinishReason.Stop : FinishReason.Length;
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
            AcceptedPredictionTokens = sequence.Speculation?.AcceptedPredictionTokens ?? 0,
            RejectedPredictionTokens = sequence.Speculation?.RejectedPredictionTokens ?? 0,
            Timing = TimingOf(sequence, now),
            Cache = sequence.CacheReport,
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
            sequence.BatchSteps == 0 ? 0 : (double)sequence.BatchSequences / sequence.BatchSteps);
    }
}
