// One sequence's guesses at its own next tokens: the client's prediction where it holds, else what followed the same words before, or what a draft model says.
// Decode thread only.

using System.Runtime.InteropServices;
using InferenceServer.Engine.Decoding;

namespace InferenceServer.Engine.Replies;

/// <summary>Drafts for one sequence, and what became of them.</summary>
/// <param name="predictedTokens">What the client expects the reply to be; may be empty.</param>
/// <param name="expectedTokens">How long prompt and reply may become; more is allowed.</param>
/// <param name="record">What came of the draft model's guesses for others; null where there is no such model.</param>
internal sealed class Speculation(ReadOnlyMemory<int> predictedTokens, int expectedTokens, DraftController? record = null)
{
    /// <summary>A step's cost grows with its rows, so the controller rarely wants more (DraftController has the model).</summary>
    public const int LongestDraft = 8;

    private readonly PromptLookup _lookup = new(expectedTokens);
    private readonly PredictionDraft? _prediction = predictedTokens.IsEmpty ? null : new PredictionDraft(predictedTokens);
    private readonly DraftController _controller = new(LongestDraft);
    private bool _fromPrediction;
    private int? _wanted;
    private int _wantedOfModel;

    public int AcceptedPredictionTokens { get; private set; }

    public int RejectedPredictionTokens { get; private set; }

    /// <summary>What came of the draft model's guesses for this sequence.</summary>
    public DraftController? Model { get; } = record is null ? null : new DraftController(record.LongestDraft, record);

    /// <summary>What the draft model guesses for the step that is being planned.</summary>
    public List<int> ModelDraft { get; } = [];

    /// <summary>The plan in which the draft model was last asked, or was not.</summary>
    public long AskedInPlan { get; set; } = -1;

    /// <summary>The sequence's row waits for the draft model.</summary>
    public bool AwaitsModel { get; set; }

    /// <summary>How many guesses the draft model is to make as soon as it has computed the prompt, a part a step; 0 where it is not at that.</summary>
    public int WantedOnceCaughtUp { get; set; }

    /// <summary>The last draft is the draft model's.</summary>
    public bool IsFromModel => _wantedOfModel > 0;

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
        _wantedOfModel = 0;
        int count = _prediction?.Draft(sequence.Tokens[sequence.PromptCount..], draft) ?? 0;
        _fromPrediction = count > 0;
        return _fromPrediction ? count : _lookup.Draft(sequence.Tokens, draft);
    }

    /// <summary>Whether the text itself tells what is next, and has told it as well as the draft model, which takes time.</summary>
    public bool PrefersText(Sequence sequence) => _controller.FirstRate >= Model!.FirstRate && Guess(sequence, stackalloc int[1]) > 0;

    /// <summary>Writes what the draft model guessed, and returns the number of tokens.</summary>
    /// <param name="wanted">As many as it was asked for.</param>
    public int TakeModelDraft(Span<int> draft, int wanted)
    {
        int count = Math.Min(ModelDraft.Count, draft.Length);
        CollectionsMarshal.AsSpan(ModelDraft)[..count].CopyTo(draft);
        // Where the model stopped by itself, it is told so; where there was no room, nothing is known of the rest.
        _wantedOfModel = count < ModelDraft.Count ? count : wanted;
        ModelDraft.Clear();
        return count;
    }

    /// <returns>How many guesses the draft model was asked for, of which so many were accepted; 0 where they are not its.</returns>
    public int Report(int drafted, int accepted)
    {
        if (_wantedOfModel is > 0 and var wanted)
        {
            Model!.Report(wanted, accepted);
            return wanted;
        }
        _controller.Report(drafted, accepted);
        if (_fromPrediction)
        {
            AcceptedPredictionTokens += accepted;
            RejectedPredictionTokens += drafted - accepted;
        }
        return 0;
    }
}
