// The border between the pure scheduler and the native library. Two implementations: LlamaDecoder, and the scripted one of the tests.

using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;

namespace InferenceServer.Engine.Decoding;

/// <summary>Runs steps. Decode thread only. A step is <see cref="Launch"/>, then <see cref="Collect"/>; one is in flight at a time.</summary>
internal interface IDecoder : IDisposable
{
    DecoderLimits Limits { get; }

    /// <summary>Applies the plan's operations in order (a blob that cannot be restored is marked failed) and starts computing its rows. On a device that computes on its own this returns early.</summary>
    void Launch(StepPlan plan, StepResult result);

    /// <summary>Waits for the rows and samples where logits are wanted.</summary>
    void Collect(StepPlan plan, StepResult result);

    /// <summary>Empties the KV memory after a failed step.</summary>
    void ClearMemory();

    /// <summary>Makes an adapter that steps can compute with.</summary>
    /// <param name="unused">Told when nobody uses it any more; <see cref="FreeAdapter"/> may follow then.</param>
    /// <exception cref="LlamaException">It cannot be loaded.</exception>
    EngineAdapter LoadAdapter(LlamaAdapterFile file, Action<EngineAdapter> unused);

    /// <summary>Frees an adapter that no plan names any more; a step in flight may still compute with it.</summary>
    void FreeAdapter(EngineAdapter adapter);

    /// <summary>Nothing is asked for: gives back what only a step needs.</summary>
    void Rest();
}

/// <summary>What the loaded model and its context allow.</summary>
/// <param name="Cells">Cells of the KV pool, in tokens.</param>
/// <param name="ContextLength">Most tokens of one sequence.</param>
/// <param name="SequenceIds">Ids of the native memory, the scratch id included.</param>
/// <param name="BatchSize">Most rows of a step.</param>
/// <param name="MaxOutputs">Most rows of a step that want logits.</param>
/// <param name="SharesCells">A cell can carry several ids (kv_unified).</param>
/// <param name="StateBytesPerToken">What saving one token's state takes.</param>
/// <param name="CheckpointBytes">What a sequence's partial state takes at most; 0 where a sequence can be cut anywhere, so that none is needed.</param>
/// <param name="AttentionTileRows">
/// In steps of at least so many rows attention reads, for all rows of a tile, what any of them reads (ggml's tiled attention on the CPU): rows of many
/// sequences and a prompt's rows are cheaper in steps of their own. 0 where rows mix well.
/// </param>
/// <param name="RowTile">Kernels compute so many rows at a time, and a remainder slowly: 13 rows took 35 ms where 16 took 28 (ggml on the CPU). 1 where any number does.</param>
/// <param name="DrawnIds">
/// Sequence ids below this are those whose tokens the device draws: of each one row a step may want a token, and nobody sees its logits. Enough others are left for as many
/// sequences as run. 0 where the host draws all.
/// </param>
/// <param name="ComputesAlone">A step may hold rows of one sequence only, and a prompt is computed from its first token on: anything else would change results.</param>
/// <param name="Profile">What the device was measured to cost; null where nobody measured.</param>
internal sealed record DecoderLimits(
    int Cells, int ContextLength, int SequenceIds, int BatchSize, int MaxOutputs, bool SharesCells, long StateBytesPerToken, long CheckpointBytes = 0,
    int AttentionTileRows = 0, int RowTile = 1, int DrawnIds = 0, bool ComputesAlone = false, DeviceProfile? Profile = null)
{
    public DeviceProfile Device => Profile ?? DeviceProfile.TwoCores;
}
