// Sampling where the logits are: the device answers a row with a token instead of a row of logits.
using System.Runtime.InteropServices;

using InferenceServer.Llama.Native;

namespace InferenceServer.Llama;

/// <summary>
/// Draws tokens on the context's device for the sequence ids that it is attached to: greedily, or from the whole vocabulary at a temperature.
/// A micro-batch copies no logits to the host when each of its rows that wants them belongs to such an id; one other row, and all of them are copied.
/// Attaching is done once, since it makes llama.cpp plan its memory anew; temperature and uniform number may change with each call.
/// A batch with a drawn row takes the draw's time for each of its rows with logits, drawn or not; how many ids are attached to costs nothing more.
/// On a CPU that is 2.5 ms a row of 152k tokens, far more than a draw from logits takes there: this is for devices with memory of their own.
/// Host memory grows from one row of logits a sequence id of the context to four, the device's by two to three for each row of a micro-batch.
/// Belongs to the context's thread, and to the context: disposing that disposes this.
/// </summary>
public sealed unsafe class DeviceSampling : IDisposable
{
    private readonly LlamaContext _context;
    private readonly nint[] _chains; // By sequence id; zero where none is attached.
    private DeviceSampler.Sequence* _sequences; // By sequence id.
    private DeviceSampler* _shared;

    private DeviceSampling(LlamaContext context, int lowest)
    {
        _context = context;
        _chains = new nint[context.MaxSequences];
        _sequences = (DeviceSampler.Sequence*)NativeMemory.AllocZeroed((nuint)context.MaxSequences, (nuint)sizeof(DeviceSampler.Sequence));
        _shared = DeviceSampler.Create(_sequences + lowest);
    }

    /// <summary>Attaches to sequence ids, greedily until <see cref="Set"/> says otherwise. Each may then have one row a batch that wants an output.</summary>
    /// <returns>Null where the device lacks an operation: nothing is attached then.</returns>
    /// <exception cref="ArgumentException">No ids, or one not below <see cref="MostSequences"/>.</exception>
    /// <exception cref="InvalidOperationException">The context gives embeddings, or is attached to already.</exception>
    public static DeviceSampling? Attach(LlamaContext context, IReadOnlyCollection<int> sequences)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(sequences);
        if (sequences.Count == 0)
            throw new ArgumentException("no sequence ids to attach to", nameof(sequences));
        int limit = MostSequences(context);
        foreach (int sequence in sequences)
            if ((uint)sequence >= (uint)limit)
                throw new ArgumentException($"the context draws for sequences 0 to {limit - 1}, not {sequence}", nameof(sequences));
        if (context.Embeddings || context.DeviceSampling is not null)
            throw new InvalidOperationException(context.Embeddings ? "a context for embeddings draws no tokens" : "the context draws on the device already");

        var sampling = new DeviceSampling(context, sequences.Min());
        context.DeviceSampling = sampling;
        foreach (int sequence in sequences)
            if (!sampling.Attach(sequence))
            {
                sampling.Dispose();
                return null;
            }
        return sampling;
    }

    /// <summary>Sequence ids below this can be attached to: llama.cpp plans a graph in which each has a row, and a view beyond its last row would end the process.</summary>
    public static int MostSequences(LlamaContext context) =>
        Math.Min(context.MaxSequences, Math.Min(context.MaxOutputs, Math.Min(context.MicroBatchSize, context.CellCount)));

    /// <summary>Memory of the device that attaching takes, in bytes: llama.cpp plans for a micro-batch of outputs, and the draw holds three rows of floats for each.</summary>
    public static long DeviceBytes(LlamaContext context) => 3L * sizeof(float) * context.VocabularySize * context.MicroBatchSize;

    /// <summary>Whether the device draws this sequence's tokens.</summary>
    public bool IsAttached(int sequence) => (uint)sequence < (uint)_chains.Length && _chains[sequence] != 0;

    /// <summary>How the sequence's next tokens are drawn, from the next batch on.</summary>
    /// <param name="temperature">0 for the largest logit: of equal ones any, where the host takes the lowest token.</param>
    /// <param name="uniform">From 0 to below 1: the share of the weight, in the order of the vocabulary, that the token lies beyond.</param>
    /// <exception cref="ArgumentException">A value is out of range, or the sequence is not attached to.</exception>
    public void Set(int sequence, float temperature, double uniform)
    {
        if (!IsAttached(sequence))
            throw new ArgumentException($"sequence {sequence} is not attached to", nameof(sequence));
        float scale = temperature == 0 ? 1 : 1 / temperature;
        if (!(temperature >= 0 && float.IsFinite(scale) && scale > 0))
            throw new ArgumentOutOfRangeException(nameof(temperature), temperature, "neither 0 nor a positive number with an inverse");
        if (uniform is not (>= 0 and < 1))
            throw new ArgumentOutOfRangeException(nameof(uniform), uniform, "not from 0 to below 1");
        DeviceSampler.Sequence* to = _sequences + sequence;
        to->Scale = scale;
        to->Uniform = Math.Min((float)uniform, MathF.BitDecrement(1)); // Rounding may give 1.
        to->Greedy = temperature == 0 ? 1 : 0;
    }

    /// <summary>The token drawn for a row of the last batch; waits for the device. Null where the row held nothing that can be drawn (a logit is NaN or infinite).</summary>
    /// <param name="row">The row's index in the batch.</param>
    /// <exception cref="ArgumentException">The device drew none for that row.</exception>
    public int? Token(int row)
    {
        int token = _context.DrawnToken(row);
        return (uint)token < (uint)_context.VocabularySize ? token : null;
    }

    /// <summary>Detaches: the host has all logits again.</summary>
    public void Dispose()
    {
        if (_shared == null)
            return;
        _context.Detach(_chains);
        foreach (nint chain in _chains)
            LlamaNative.llama_sampler_free(chain);
        Array.Clear(_chains);
        NativeMemory.Free(_sequences);
        NativeMemory.Free(_shared);
        _sequences = null;
        _shared = null;
    }

    private bool Attach(int sequence)
    {
        if (_chains[sequence] != 0)
            return true;
        DeviceSampler.Sequence* state = _sequences + sequence;
        state->Scale = state->Greedy = 1;
        _chains[sequence] = DeviceSampler.CreateChain(_shared, state);
        return _context.Attach(sequence, _chains[sequence]) && _shared->IsSupported;
    }
}
