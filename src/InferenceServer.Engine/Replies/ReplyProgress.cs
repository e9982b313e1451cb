// What becomes of drawn tokens: where a reply ends, what a grammar or a limit writes in the model's place, its text and its events. Decode thread only.
// Two halves. Take says what the next step must know, and is all that stands between two steps. Deliver makes text and events of it, while a device computes.
// Always: one Finished event a sequence and nothing after it; the texts of its events joined are the reply.

using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine.Replies;

internal sealed class ReplyProgress(EngineVocabulary vocabulary, int contextLength, SchedulerCounters counters, TimeProvider time)
{
    /// <summary>Most tokens a grammar forces at a time; they are computed in one step with the next row.</summary>
    public const int MaxForcedTokens = 16;

    private readonly List<(Sequence Sequence, SampledToken Token)> _undelivered = [];

    /// <summary>Sequences whose end is known and not delivered.</summary>
    private readonly List<Sequence> _ended = [];

    /// <summary>For the loop to write; it clears the list.</summary>
    public List<(Generation Generation, GenerationEvent Event)> Outbox { get; } = [];

    /// <summary>Adds a drawn token to the reply, and says in <see cref="Sequence.End"/> when it is the last.</summary>
    /// <param name="readsNow">The text decides what follows, and cannot wait for <see cref="Deliver"/>.</param>
    public void Take(Sequence sequence, SampledToken sampled, bool readsNow)
    {
        GenerationRequest request = sequence.Request;
        if (request.MaxTokens == 0)
        {
            End(sequence, FinishReason.Length);
            return;
        }
        counters.Completion++;
        sequence.Append(sampled.Token);
        if ((!request.IgnoreEndOfGeneration && vocabulary.IsEndOfGeneration(sampled.Token)) || (request.StopTokens.Count > 0 && request.StopTokens.Contains(sampled.Token)))
        {
            End(sequence, FinishReason.Stop);
            return;
        }
        if (sequence.CompletionCount >= request.MaxTokens || sequence.Count >= contextLength)
            End(sequence, sequence.Constraint is { MustEnd: true } ? FinishReason.Stop : FinishReason.Length);
        if (readsNow)
            Read(sequence, sampled);
        else
            _undelivered.Add((sequence, sampled));
    }

    /// <summary>After a steered sequence's tokens: writes what ends the thinking, and what the grammar leaves no choice about.</summary>
    public void Steer(Sequence sequence)
    {
        try
        {
            if (sequence is { End: null, Thinking.IsSpent: true })
                EndThinking(sequence);
            if (sequence is { End: null, Constraint: not null })
                ForceTokens(sequence);
        }
#pragma warning disable CA1031 // As where tokens are drawn: what a grammar throws must not end the decode thread, and with it everybody's request.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(sequence, e.Message);
        }
    }

    /// <summary>No token could be drawn: the request ends, the others' do not.</summary>
    public void Fail(Sequence sequence, string failure)
    {
        sequence.EndError = $"No token could be drawn for this request: {failure}";
        End(sequence, FinishReason.Failed);
    }

    /// <summary>Makes text and events of what was taken.</summary>
    /// <returns>Sequences that have ended by now; valid until the next call.</returns>
    public IReadOnlyList<Sequence> Deliver()
    {
        foreach ((Sequence sequence, SampledToken token) in _undelivered)
            Read(sequence, token);
        _undelivered.Clear();
        return _ended;
    }

    /// <summary>The sequence holds nothing any more: its last event.</summary>
    public void Finish(Sequence sequence, FinishReason reason, long now, string? error)
    {
        sequence.IsFinished = true;
        _ended.Remove(sequence);
        counters.CountEnd(reason);
        if (reason is FinishReason.Cancelled)
            counters.Wasted += sequence.CompletionCount;
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
            Preemptions = sequence.Preemptions,
        })));
    }

    /// <summary>The last event of a request that cannot even begin.</summary>
    public void Refuse(Generation generation, string error)
    {
        counters.CountEnd(FinishReason.Failed);
        Outbox.Add((generation, new GenerationEvent(GenerationEventKind.Finished, "", -1, null, new GenerationResult
        {
            FinishReason = FinishReason.Failed,
            Error = error,
            PromptTokens = generation.Request.PromptTokens.Length,
            CachedTokens = 0,
            CompletionTokens = 0,
        })));
    }

    /// <summary>The token's text, its event, and whether a stop string ends the reply here.</summary>
    private void Read(Sequence sequence, SampledToken sampled)
    {
        if (sequence.IsFinished || sequence.Text.MatchedStop is not null)
            return;
        string text = sequence.Text.Append(vocabulary.TokenBytes(sampled.Token, sequence.Request.ControlTokensInText?.Contains(sampled.Token) == true));
        Outbox.Add((sequence.Generation, new GenerationEvent(GenerationEventKind.Token, text, sampled.Token, sampled.Logprobs, null)));
        sequence.Thinking?.Take(text);
        if (sequence.Text.MatchedStop is not null)
            End(sequence, FinishReason.Stop);
    }

    private void End(Sequence sequence, FinishReason reason)
    {
        if (sequence.End is null)
            _ended.Add(sequence);
        sequence.End = reason;
    }

    /// <summary>Writes what ends the thinking, in the model's place; the reply goes on from there.</summary>
    private void EndThinking(Sequence sequence)
    {
        foreach (int token in sequence.Request.Thinking!.CloseTokens.Span)
        {
            if (sequence.Constraint is { } constraint && !constraint.TryAccept(token))
                throw new InvalidOperationException($"The constraint forbids token {token}, which ends the thinking.");
            Write(sequence, token);
            if (sequence.End is not null)
                return;
        }
    }

    /// <summary>Appends what the grammar leaves no choice about, without sampling.</summary>
    private void ForceTokens(Sequence sequence)
    {
        ConstraintState constraint = sequence.Constraint!;
        if (constraint.MustEnd)
        {
            End(sequence, FinishReason.Stop);
            return;
        }
        // A token that was not sampled has no log probability: where they are wanted, every token is.
        if (sequence.Request.Sampling.TopLogprobs is not null)
            return;
        Span<int> forced = stackalloc int[MaxForcedTokens];
        int count = constraint.ForcedTokens(forced);
        for (int i = 0; i < count; i++)
        {
            if (!constraint.TryAccept(forced[i]))
                throw new InvalidOperationException($"The constraint forbids token {forced[i]}, which it forced.");
            Write(sequence, forced[i]);
            if (sequence.End is not null)
                return;
        }
        if (constraint.MustEnd)
            End(sequence, FinishReason.Stop);
    }

    /// <summary>A token that nobody drew.</summary>
    private void Write(Sequence sequence, int token)
    {
        sequence.Sampler.Accept(token);
        counters.Forced++;
        Take(sequence, new SampledToken(token, null), readsNow: true);
    }

    private GenerationTiming TimingOf(Sequence sequence, long now)
    {
        long scheduled = sequence.FirstScheduled ?? now;
        long first = sequence.FirstToken ?? now;
        return new GenerationTiming(
            time.GetElapsedTime(sequence.Arrival, scheduled).TotalSeconds,
            time.GetElapsedTime(scheduled, first).TotalSeconds,
            time.GetElapsedTime(first, now).TotalSeconds,
            sequence.BatchSteps == 0 ? 0 : (double)sequence.BatchSequences / sequence.BatchSteps);
    }
}
