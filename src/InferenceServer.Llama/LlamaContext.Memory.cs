// The sequences in a context's memory: copy, cut, save, restore.
using System.Buffers.Binary;

using InferenceServer.Llama.Native;

using LLama.Native;

namespace InferenceServer.Llama;

public sealed unsafe partial class LlamaContext
{
    private const uint StateMagic = 0xaf143cd8; // io_magic in llama-context.cpp: the first word of a sequence's state, its id the second.

    /// <summary>
    /// Lets <paramref name="target"/> hold positions [start, end) of <paramref name="source"/> too. With shared cells this tags them and copies
    /// nothing; the target must then hold none of these positions in cells of its own: remove them first. With separate ones, and for recurrent
    /// states, only whole sequences can be copied, and the target's own content is replaced; separate ones are copied by the next decode, and
    /// until then no attention state can be saved or restored.
    /// </summary>
    /// <param name="source">The sequence to copy from.</param>
    /// <param name="target">The sequence to copy to.</param>
    /// <param name="start">First position.</param>
    /// <param name="end">One past the last position, or -1 for all that follow.</param>
    /// <exception cref="ArgumentException">The range cannot be copied in this kind of memory.</exception>
    public void CopySequence(int source, int target, int start, int end)
    {
        CheckSequence(source);
        CheckSequence(target);
        CheckRange(start, end);
        if (source == target)
            throw new ArgumentException("a sequence cannot be copied onto itself", nameof(target));
        bool whole = start == 0 && (end == -1 || end > MaxPosition(source));
        if (!whole && (!KvUnified || _model.MemoryKind is MemoryKind.Recurrent or MemoryKind.Hybrid))
        {
            throw new ArgumentException(
                $"positions {start} to {end} of sequence {source} cannot be copied: {(KvUnified ? "recurrent states" : "separate memories")} copy whole only", nameof(end));
        }

        _handle.MemorySequenceCopy((LLamaSeqId)source, (LLamaSeqId)target, whole ? -1 : start, whole ? -1 : end);
        _copyPending |= !KvUnified;
    }

    /// <summary>Removes positions [start, end) of a sequence; cells that no other sequence tags become free.</summary>
    /// <param name="id">The sequence.</param>
    /// <param name="start">First position.</param>
    /// <param name="end">One past the last position, or -1 for all that follow.</param>
    /// <returns>
    /// False when a recurrent state would have to go back, and nothing was changed. True says nothing about sliding windows: ask
    /// <see cref="CanContinue"/> whether the sequence is still usable.
    /// </returns>
    public bool RemoveSequence(int id, int start, int end)
    {
        CheckSequence(id);
        CheckRange(start, end);
        return NativeApi.llama_memory_seq_rm(_memory, (LLamaSeqId)id, start == 0 && end == -1 ? -1 : start, end);
    }

    /// <summary>
    /// Makes ready for <see cref="CopyCells"/> and <see cref="RemoveCells"/>. Decodes one token where the model is not dense: sequences must be
    /// empty, and are so afterwards.
    /// </summary>
    /// <returns>Bytes that a sequence's partial state takes at most; 0 for dense models, which have none.</returns>
    /// <exception cref="LlamaException">The token could not be decoded.</exception>
    public long PreparePartialStates()
    {
        if (_model.MemoryKind is MemoryKind.Dense)
            return 0;
        byte[] blank = new byte[StateSize(0, StateFlags.Partial)];
        SaveState(0, blank, StateFlags.Partial);
        using (var batch = new LlamaBatch(1))
        {
            batch.Add(0, 0, 0, wantsLogits: true);
            if (Decode(batch) is not DecodeStatus.Ok and var status)
                throw new LlamaException($"the model cannot decode a single token ({status}): {NativeLog.LastError ?? "llama.cpp gave no reason"}") { IsOutOfMemory = status is DecodeStatus.AllocationFailed };
        }

        long size = StateSize(0, StateFlags.Partial);
        if (_model.SlidingWindow > 0)
        {
            // A window's empty state is passed over when restored (llama_kv_cache::state_read), and would leave the old one; one cell replaces it.
            blank = new byte[size];
            SaveState(0, blank, StateFlags.Partial);
            size += _model.SlidingWindow * _kvBytesPerToken;
        }

        ClearMemory();
        _blankState = blank;
        return size;
    }

    /// <summary>
    /// Lets <paramref name="target"/> hold positions [start, end) of <paramref name="source"/> too, in shared cells, as far as every layer keeps
    /// them. Windows and recurrent states are not copied: the target then has none, and needs a partial state before it goes on. Dense models
    /// have neither, so there it is all of <see cref="CopySequence"/>.
    /// </summary>
    /// <param name="source">The sequence to copy from.</param>
    /// <param name="target">The sequence to copy to; it holds none of these positions.</param>
    /// <param name="start">First position.</param>
    /// <param name="end">One past the last position, or -1 for all that follow.</param>
    /// <returns>False when the target's partial state could not be taken away; the target is then empty.</returns>
    /// <exception cref="InvalidOperationException">The memories are separate.</exception>
    public bool CopyCells(int source, int target, int start, int end)
    {
        if (!KvUnified)
            throw new InvalidOperationException("separate memories share no cells");
        if (_model.MemoryKind is MemoryKind.Dense)
        {
            CopySequence(source, target, start, end);
            return true;
        }

        CheckSequence(source);
        CheckSequence(target);
        CheckRange(start, end);
        if (source == target)
            throw new ArgumentException("a sequence cannot be copied onto itself", nameof(target));
        // A state or window comes along whole or in part, which is nothing to continue from.
        _handle.MemorySequenceCopy((LLamaSeqId)source, (LLamaSeqId)target, start, end);
        return DropPartialState(target);
    }

    /// <summary>
    /// Removes positions [start, end) of a sequence, and with them a recurrent state that lies in the range. What is left needs a partial
    /// state before it goes on, unless the model is dense.
    /// </summary>
    /// <param name="id">The sequence.</param>
    /// <param name="start">First position.</param>
    /// <param name="end">One past the last position, or -1 for all that follow.</param>
    /// <returns>False when llama.cpp refused.</returns>
    public bool RemoveCells(int id, int start, int end) =>
        RemoveSequence(id, start, end) || (DropPartialState(id) && RemoveSequence(id, start, end));

    /// <summary>Forgets all sequences.</summary>
    public void ClearMemory()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        NativeApi.llama_memory_clear(_memory, data: false);
    }

    /// <summary>The first position a sequence holds, or -1 when it is empty. Above 0 where a sliding window has passed, or a state replaced its past.</summary>
    public int MinPosition(int id)
    {
        CheckSequence(id);
        return (int)_handle.MemorySequenceMinPosition((LLamaSeqId)id);
    }

    /// <summary>The last position a sequence holds, or -1 when it is empty.</summary>
    public int MaxPosition(int id)
    {
        CheckSequence(id);
        return (int)_handle.MemorySequenceMaxPosition((LLamaSeqId)id);
    }

    /// <summary>Whether a token at <paramref name="position"/> may be decoded next: the memory ends just before it and holds all that it attends to.</summary>
    public bool CanContinue(int id, int position)
    {
        CheckSequence(id);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        if (MaxPosition(id) != position - 1)
            return false;
        return position == 0 || _model.MemoryKind switch
        {
            MemoryKind.Dense => MinPosition(id) == 0,
            MemoryKind.SlidingWindow => MinPosition(id) <= Math.Max(0, position - _model.SlidingWindow),
            _ => true, // A recurrent state stands for all before it; a hybrid's end is the lesser of its two parts'.
        };
    }

    /// <summary>Bytes that <see cref="SaveState"/> will write for a sequence at this moment.</summary>
    public long StateSize(int id, StateFlags flags)
    {
        CheckState(id, flags);
        return (long)LlamaNative.llama_state_seq_get_size_ext(_context, id, (uint)flags);
    }

    /// <summary>Copies a sequence's state out.</summary>
    /// <param name="id">The sequence.</param>
    /// <param name="destination">Room for <see cref="StateSize"/> bytes.</param>
    /// <param name="flags">What to save.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The room is too small.</exception>
    /// <exception cref="LlamaException">llama.cpp could not save it.</exception>
    public long SaveState(int id, Span<byte> destination, StateFlags flags)
    {
        long needed = StateSize(id, flags);
        if (destination.Length < needed)
            throw new ArgumentException($"the state takes {needed} bytes, the room has {destination.Length}", nameof(destination));
        nuint written;
        fixed (byte* room = destination)
            written = LlamaNative.llama_state_seq_get_data_ext(_context, room, (nuint)destination.Length, id, (uint)flags);
        if (written == 0)
            throw new LlamaException($"the state of sequence {id} could not be saved: {NativeLog.LastError ?? "llama.cpp gave no reason"}");
        return (long)written;
    }

    /// <summary>Puts a saved state into a sequence, replacing its content (with <see cref="StateFlags.Partial"/>: the partial content).</summary>
    /// <param name="id">The sequence; it need not be the one that was saved.</param>
    /// <param name="source">What <see cref="SaveState"/> wrote with the same flags, in a context of the same model and KV types.</param>
    /// <param name="flags">The flags it was saved with.</param>
    /// <returns>Bytes read; 0 when it did not fit (no free cells, another model), and then the sequence is empty.</returns>
    /// <exception cref="ArgumentException">The bytes are no state.</exception>
    public long RestoreState(int id, ReadOnlySpan<byte> source, StateFlags flags)
    {
        CheckState(id, flags);
        if (source.Length < 8 || BinaryPrimitives.ReadUInt32LittleEndian(source) != StateMagic)
            throw new ArgumentException("the bytes are not the state of a sequence", nameof(source));
        nuint read;
        fixed (byte* bytes = source)
            read = LlamaNative.llama_state_seq_set_data_ext(_context, bytes, (nuint)source.Length, id, (uint)flags);
        if (read == 0)
            NativeApi.llama_memory_seq_rm(_memory, (LLamaSeqId)id, -1, -1); // What a failed restore leaves is undefined.
        return (long)read;
    }

    private void CheckState(int id, StateFlags flags)
    {
        CheckSequence(id);
        if ((flags & ~StateFlags.Partial) != 0)
            throw new ArgumentOutOfRangeException(nameof(flags), flags, "unknown state flags");
        if (_memory == 0)
            throw new InvalidOperationException("this model keeps no memory");
        bool recurrentOnly = _model.MemoryKind is MemoryKind.Recurrent || (_model.MemoryKind is MemoryKind.Hybrid && flags.HasFlag(StateFlags.Partial));
        if (_copyPending && !recurrentOnly)
            throw new InvalidOperationException("a copy between separate memories waits for the next decode; save and restore before the copy or after that");
    }

    private bool DropPartialState(int id)
    {
        byte[] blank = _blankState ?? throw new InvalidOperationException($"{nameof(PreparePartialStates)} comes first");
        return RestoreState(id, blank, StateFlags.Partial) == blank.LongLength;
    }

    private static void CheckRange(int start, int end)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        if (end != -1 && end < start)
            throw new ArgumentOutOfRangeException(nameof(end), end, $"the range starts at {start}");
    }
}
