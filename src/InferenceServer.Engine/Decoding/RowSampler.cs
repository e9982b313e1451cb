// Draws the tokens of one slice from its logits, within the sequence's constraint. One thread a slice at a time.

using InferenceServer.Engine.Replies;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Decoding;

/// <summary>A row's logits: one a token of the vocabulary, free to be changed.</summary>
internal delegate Span<float> LogitsOfRow(int row);

internal static class RowSampler
{
    /// <summary>One token from the slice's first row with logits, and one from each row after it as long as the drafts hold.</summary>
    public static void Sample(StepPlan plan, int sliceIndex, LogitsOfRow logits, StepResult result)
    {
        PlanSlice slice = plan.Slices[sliceIndex];
        if (!plan.Rows[slice.LastRow].WantsLogits)
            return;
        Sequence sequence = slice.Sequence;
        // Of what the device has drawn there are no logits.
        if (sequence.IsFinished || result.IsSettled(sliceIndex))
            return;
        if (sequence.PromptLogprobs is { } scores)
            Score(plan, slice, scores, logits);
        if (!slice.ReachesEnd(plan))
            return;
        for (int row = slice.FirstLogitsRow; row <= slice.LastRow; row++)
        {
            SampledToken token = Draw(sequence, logits(row));
            result.Add(sliceIndex, token);
            if (row == slice.LastRow || plan.Rows[row + 1].Token != token.Token || sequence.Constraint is { MustEnd: true })
                return;
        }
    }

    /// <summary>The log probability of each prompt token that follows one of the slice's rows.</summary>
    private static void Score(StepPlan plan, PlanSlice slice, TokenLogprobs?[] scores, LogitsOfRow logits)
    {
        Sequence sequence = slice.Sequence;
        for (int row = slice.FirstRow; row <= slice.LastRow && plan.Rows[row].Position + 1 is var next && next < sequence.PromptCount; row++)
            scores[next] = sequence.Sampler.Score(logits(row), sequence.Tokens[next], sequence.Request.PromptLogprobs!.Value);
    }

    private static SampledToken Draw(Sequence sequence, Span<float> logits)
    {
        SampledToken token;
        if (sequence.Constraint is { } constraint)
        {
            token = sequence.Sampler.SampleWithin(logits, constraint, sequence.Mask!);
            if (!constraint.TryAccept(token.Token))
                throw new InvalidOperationException($"Token {token.Token} was drawn although the constraint forbids it.");
        }
        else
            token = sequence.Sampler.Sample(logits);
        sequence.Sampler.Accept(token.Token);
        return token;
    }
}
