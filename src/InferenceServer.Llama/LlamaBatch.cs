// Rows for one decode call, in one native block that is laid out once: filling it and decoding it allocate and pin nothing.
// Owned by the thread that decodes.
using System.Runtime.InteropServices;

using LLama.Native;

namespace InferenceServer.Llama;

/// <summary>Rows of (token, position, sequence, wants logits). Reuse one for every step.</summary>
public sealed unsafe class LlamaBatch : IDisposable
{
    private LLamaNativeBatch _native;
    private void* _block;

    /// <param name="capacity">Most rows it can hold; a context takes no more than its batch size.</param>
    public LlamaBatch(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, 1 << 20);
        Capacity = capacity;
        // Pointers first, then four columns of ints, then the flags: each column is aligned by those before it.
        nuint bytes = (nuint)capacity * (nuint)(sizeof(LLamaSeqId*) + sizeof(LLamaToken) + sizeof(LLamaPos) + sizeof(int) + sizeof(LLamaSeqId) + sizeof(byte));
        _block = NativeMemory.AllocZeroed(bytes);
        _native.seq_id = (LLamaSeqId**)_block;
        _native.tokens = (LLamaToken*)(_native.seq_id + capacity);
        _native.pos = (LLamaPos*)(_native.tokens + capacity);
        _native.n_seq_id = (int*)(_native.pos + capacity);
        var sequences = (LLamaSeqId*)(_native.n_seq_id + capacity);
        _native.logits = (byte*)(sequences + capacity);
        for (int row = 0; row < capacity; row++)
        {
            _native.n_seq_id[row] = 1;
            _native.seq_id[row] = sequences + row;
        }
    }

    /// <summary>Frees the block of a batch that nobody disposed.</summary>
    ~LlamaBatch() => Free();

    /// <summary>Most rows it can hold.</summary>
    public int Capacity { get; }

    /// <summary>Rows it holds.</summary>
    public int Count => _native.n_tokens;

    internal LLamaNativeBatch Native => _native;

    /// <summary>Removes all rows.</summary>
    public void Clear() => _native.n_tokens = 0;

    /// <summary>Appends a row. Values are checked against the model by <see cref="LlamaContext.Decode"/>.</summary>
    /// <returns>The row's index, by which its logits are found after decoding.</returns>
    public int Add(int token, int position, int sequence, bool wantsLogits)
    {
        ObjectDisposedException.ThrowIf(_block == null, this);
        int row = _native.n_tokens;
        if (row >= Capacity)
            throw new InvalidOperationException($"the batch is full: it holds {Capacity} rows");
        _native.tokens[row] = token;
        _native.pos[row] = position;
        *_native.seq_id[row] = (LLamaSeqId)sequence;
        _native.logits[row] = wantsLogits ? (byte)1 : (byte)0;
        _native.n_tokens = row + 1;
        return row;
    }

    /// <summary>Frees the block.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(_block);
        _block = null;
        _native = default;
    }
}
