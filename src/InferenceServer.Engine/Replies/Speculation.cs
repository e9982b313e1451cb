// One sequence's guesses at its own next tokens: the client's prediction where it holds, else what followed the same words before.
// Decode thread only.

using InferenceServer.Engine.Decoding;

namespace InferenceServer.Engine.Replies;

/// <summary>Drafts for one sequence, and what became of them.</summary>
/// <param name="predictedTokens">What the client expects the reply to be; may be empty.</param>
/// <param name="expectedTokens">How long prompt and reply may become; more is allowed.</param>
internal sealed class Speculation(ReadOnlyMemory<int> predictedTokens, int expectedTokens)
{
    /// <summary>A step's cost grows with its rows, so the controller rarely wants more (DraftController has the model).</summary>
    public const int LongestDraft = 8;

    private readonly PromptLookup _lookup = new(expectedTokens);
    private readonly PredictionDraft? _prediction = predictedTokens.IsEmpty ? null : new PredictionDraft(predictedTokens);
    private readonly DraftController _controller = new(LongestDraft);
    private bool _fromPrediction;
    private int? _wanted;

    public int AcceptedPredictionTokens { get; private set; }

    public int RejectedPredictionTokens { get; private set; }

    /// <summary>How many guesses are likely to pay in the next step; asked for once a step, and kept until <see cref="Draft"/> takes it.</summary>
    /// <param name="rows">Rows that the step holds already, this sequence's own included.</param>
    public int Want(int rows, StepTimes times) => _wanted ??= _controller.NextLength(rows, times);

    /// <summary>Writes as many guesses as are wanted, if so many can be had, and returns their number.</summary>
    /// <param name="rows">As for <see cref="Want"/>.</param>
    public int Draft(Sequence sequence, Span<int> draft, int rows, StepTimes times)
    {
        int length = Math.Min(Want(rows, times), draft.Length);
        _wanted = null;
        return length == 0 ? 0 : Guess(sequence, draft[..length]);
    }

    /// <summary>As <see cref="Draft"/>, for rows that cost nothing: whatever can be guessed.</summary>
    public int Guess(Sequence sequence, Span<int> draft)
    {
        int count = _prediction?.Draft(sequence.Tokens[sequence.PromptCount..], draft) ?? 0;
        _fromPrediction = count > 0;
        return _fromPrediction ? count : _lookup.Draft(sequence.Tokens, draft);
    }

    public void Report(int drafted, int accepted)
    {
        _controller.Report(drafted, accepted);
        if (!_fromPrediction)
            return;
        AcceptedPredictionTokens += accepted;
        RejectedPredictionTokens += drafted - accepted;
    }
}
