// The border between drafting and the native library. Two implementations: LlamaDraftContext, and the scripted one of the tests.

using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Decoding;

/// <summary>The memory of a second, smaller model, with a sequence for every reply that runs. Decode thread only.</summary>
internal interface IDraftContext : IDisposable
{
    DraftLimits Limits { get; }

    /// <summary>Removes what a sequence holds from this position on.</summary>
    void Remove(int sequence, int start);

    /// <summary>Computes rows, and says of those that want logits which token is most likely to follow.</summary>
    /// <param name="guesses">One for each such row, in their order.</param>
    /// <returns>What failed; the memory is then to be cleared. Null when nothing did.</returns>
    string? Compute(List<PlanRow> rows, Span<DraftGuess> guesses);

    /// <summary>Empties the memory.</summary>
    void Clear();
}

/// <summary>What a draft model takes to be next.</summary>
/// <param name="Token">Negative where its logits are not numbers.</param>
internal readonly record struct DraftGuess(int Token, float Probability);

/// <param name="Cells">Cells of its memory, in tokens, shared by all sequences.</param>
/// <param name="ContextLength">Most tokens of one sequence.</param>
/// <param name="Sequences">Ids run from 0 to one less.</param>
/// <param name="BatchSize">Most rows computed at a time.</param>
/// <param name="Tokens">Tokens below this mean the same to both models; others are neither computed nor guessed.</param>
/// <param name="Bytes">Weights and memory together.</param>
internal sealed record DraftLimits(int Cells, int ContextLength, int Sequences, int BatchSize, int Tokens, long Bytes, DeviceProfile Device);

/// <summary>What the draft model is to do for one sequence before a step.</summary>
/// <param name="Wanted">Tokens to guess; 0 for none yet.</param>
/// <param name="CatchUp">Tokens of prompt and reply to compute first, since the model has not seen them; not the newest.</param>
internal readonly record struct DraftJob(Replies.Sequence Sequence, int Wanted, int CatchUp);
