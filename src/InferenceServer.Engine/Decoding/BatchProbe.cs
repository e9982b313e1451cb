// Finds out whether a device computes a token alike whatever is computed beside it. Asked once, before the context is used, and only where replies must repeat
// bit for bit: kernels for one row and for many add up in different orders on most GPUs, and in ggml's on the CPU they do not.

using InferenceServer.Llama;

namespace InferenceServer.Engine.Decoding;

internal sealed class BatchProbe : IDisposable
{
    /// <summary>Past a step of llama.cpp's padding of the cells that attention reads (256), so that others' lengths show.</summary>
    private const int LongPrompt = 300;

    private const int ShortPrompt = 40;

    /// <summary>Rows of a step at which kernels are known to change: one, few, ggml's tiles of attention and of products, and beyond.</summary>
    private static readonly int[] StepsBeside = [2, 5, 8, 16];

    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;

    private BatchProbe(LlamaContext context) => (_context, _batch) = (context, new LlamaBatch(context.BatchSize));

    public void Dispose() => _batch.Dispose();

    /// <summary>Whether logits depend on what else a step computes. The context is empty afterwards.</summary>
    /// <exception cref="LlamaException">The device cannot compute.</exception>
    public static bool ResultsDependOnBatch(LlamaContext context)
    {
        using BatchProbe probe = new(context);
        try
        {
            return probe.Differs();
        }
        finally
        {
            context.ClearMemory();
        }
    }

    private bool Differs()
    {
        int prompt = Math.Min(ShortPrompt, _context.ContextLengthPerSequence / 4);
        float[] alone = Logits(prompt, chunk: prompt, beside: 0, othersLength: 0);
        // The same in chunks, row by row, and beside others, short ones and long ones.
        if (!alone.AsSpan().SequenceEqual(Logits(prompt, chunk: 7, beside: 0, othersLength: 0)) || !alone.AsSpan().SequenceEqual(Logits(prompt, chunk: 1, beside: 0, othersLength: 0)))
            return true;
        int longest = Math.Min(LongPrompt, _context.ContextLengthPerSequence - 2);
        foreach (int rows in StepsBeside.Where(rows => rows <= Math.Min(_context.MaxSequences, _context.BatchSize)))
            foreach (int length in (int[])[prompt / 2, longest])
                if (!alone.AsSpan().SequenceEqual(Logits(prompt, chunk: prompt, rows - 1, length)))
                    return true;
        return false;
    }

    /// <summary>The logits after a prompt's last token, which is computed in a step with others.</summary>
    /// <param name="beside">How many other sequences have a row in that step, each of so many tokens.</param>
    private float[] Logits(int prompt, int chunk, int beside, int othersLength)
    {
        _context.ClearMemory();
        for (int other = 1; other <= beside; other++)
            Compute(other, othersLength, othersLength);
        Compute(0, prompt - 1, chunk);
        _batch.Clear();
        // In the middle, where tiles of rows take it in with its neighbours.
        for (int row = 0; row <= beside; row++)
        {
            int sequence = row == beside / 2 ? 0 : row < beside / 2 ? row + 1 : row;
            _batch.Add(Token(sequence, sequence == 0 ? prompt - 1 : othersLength), sequence == 0 ? prompt - 1 : othersLength, sequence, wantsLogits: true);
        }
        Decode();
        _context.Synchronize();
        return _context.Logits(beside / 2).ToArray();
    }

    private void Compute(int sequence, int tokens, int chunk)
    {
        for (int at = 0; at < tokens; at += chunk)
        {
            _batch.Clear();
            for (int position = at; position < Math.Min(at + Math.Min(chunk, _context.BatchSize), tokens); position++)
                _batch.Add(Token(sequence, position), position, sequence, wantsLogits: position == tokens - 1);
            Decode();
        }
    }

    /// <summary>Any tokens do, as long as they differ.</summary>
    private int Token(int sequence, int position) => ((sequence * 7919) + (position * 104_729)) % _context.VocabularySize;

    private void Decode()
    {
        if (_context.Decode(_batch) is not DecodeStatus.Ok and var status)
            throw new LlamaException($"the model cannot decode {_batch.Count} tokens ({status}): {LlamaContext.LastError ?? "llama.cpp gave no reason"}");
    }
}
