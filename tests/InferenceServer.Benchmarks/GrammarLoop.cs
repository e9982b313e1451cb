using System.Diagnostics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text;
using InferenceServer.Llama;
using InferenceServer.Llama.Native;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Benchmarks;

/// <summary>
/// A bare decode loop that samples at temperature 1 within llama.cpp's own grammar sampler, in its server's way: the token drawn freely is checked first, and
/// the grammar walks the whole vocabulary only when it refuses that.
/// </summary>
internal sealed unsafe class GrammarLoop : IDisposable
{
    // As llama.h of v0.5.0 has them.
    private struct TokenData
    {
        public int Id;
        public float Logit;
        public float P;
    }

    private struct TokenDataArray
    {
        public TokenData* Data;
        public nuint Size;
        public long Selected;
        public byte Sorted;
    }

    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private readonly nint _vocab;
    private readonly byte[] _grammar;
    private readonly TokenData[] _candidates;
    private readonly float[] _weights;
    private readonly delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint> _init;
    private readonly delegate* unmanaged[Cdecl]<nint, TokenDataArray*, void> _apply;
    private readonly delegate* unmanaged[Cdecl]<nint, int, void> _accept;
    private readonly delegate* unmanaged[Cdecl]<nint, void> _free;

    public GrammarLoop(BenchmarkSetup setup, int sequences, int cells, string grammar)
    {
        _context = new LlamaContext(setup.Model, setup.Context(cells) with { MaxSequences = sequences, MaxOutputs = sequences }, NullLogger.Instance);
        _batch = new LlamaBatch(_context.BatchSize);
        _vocab = LlamaNative.llama_model_get_vocab(setup.Model.Handle);
        _grammar = [.. Encoding.UTF8.GetBytes(grammar), 0];
        _candidates = new TokenData[setup.Model.Vocab.Count];
        _weights = new float[_candidates.Length];
        nint library = NativeLibrary.Load(LoadedPath());
        _init = (delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint>)NativeLibrary.GetExport(library, "llama_sampler_init_grammar");
        _apply = (delegate* unmanaged[Cdecl]<nint, TokenDataArray*, void>)NativeLibrary.GetExport(library, "llama_sampler_apply");
        _accept = (delegate* unmanaged[Cdecl]<nint, int, void>)NativeLibrary.GetExport(library, "llama_sampler_accept");
        _free = (delegate* unmanaged[Cdecl]<nint, void>)NativeLibrary.GetExport(library, "llama_sampler_free");
    }

    /// <summary>Where this process has llama.cpp from.</summary>
    private static string LoadedPath() => Process.GetCurrentProcess().Modules.Cast<ProcessModule>().First(module => module.ModuleName.StartsWith("libllama.", StringComparison.Ordinal)).FileName;

    /// <summary>Prefills all prompts, then decodes that many tokens in each.</summary>
    /// <returns>Seconds for all of it.</returns>
    public double Run(IReadOnlyList<int[]> prompts, int outputTokens)
    {
        _context.ClearMemory();
        nint[] samplers = new nint[prompts.Count];
        Random random = new(1);
        long start = Stopwatch.GetTimestamp();
        fixed (byte* grammar = _grammar, root = "root\0"u8)
            for (int i = 0; i < samplers.Length; i++)
                samplers[i] = _init(_vocab, grammar, root) is not 0 and var sampler ? sampler : throw new InvalidOperationException("llama.cpp cannot read the grammar.");
        int[] next = new int[prompts.Count];
        for (int i = 0; i < prompts.Count; i++)
        {
            for (int at = 0; at < prompts[i].Length; at++)
                _batch.Add(prompts[i][at], at, i, at == prompts[i].Length - 1);
            Decode();
            next[i] = Draw(_context.Logits(prompts[i].Length - 1), samplers[i], random);
        }
        for (int step = 1; step < outputTokens; step++)
        {
            for (int i = 0; i < prompts.Count; i++)
                _batch.Add(next[i], prompts[i].Length + step - 1, i, true);
            Decode();
            for (int i = 0; i < prompts.Count; i++)
                next[i] = Draw(_context.Logits(i), samplers[i], random);
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        foreach (nint sampler in samplers)
            _free(sampler);
        return seconds;
    }

    public void Dispose()
    {
        _batch.Dispose();
        _context.Dispose();
    }

    private int Draw(ReadOnlySpan<float> logits, nint sampler, Random random)
    {
        int token = Choose(logits, random);
        TokenData one = new() { Id = token, Logit = logits[token], P = 0 };
        TokenDataArray single = new() { Data = &one, Size = 1, Selected = -1, Sorted = 0 };
        _apply(sampler, &single);
        if (float.IsNegativeInfinity(one.Logit))
        {
            for (int i = 0; i < _candidates.Length; i++)
                _candidates[i] = new TokenData { Id = i, Logit = logits[i], P = 0 };
            fixed (TokenData* data = _candidates)
            {
                TokenDataArray all = new() { Data = data, Size = (nuint)_candidates.Length, Selected = -1, Sorted = 0 };
                _apply(sampler, &all);
            }
            for (int i = 0; i < _candidates.Length; i++)
                _weights[i] = _candidates[i].Logit;
            token = Choose(_weights, random);
        }
        _accept(sampler, token);
        return token;
    }

    /// <summary>A token by its share of exp(logit).</summary>
    private int Choose(ReadOnlySpan<float> logits, Random random)
    {
        float most = TensorPrimitives.Max(logits);
        TensorPrimitives.Subtract(logits, most, _weights);
        TensorPrimitives.Exp(_weights, _weights);
        double left = random.NextDouble() * TensorPrimitives.Sum<float>(_weights);
        int last = 0;
        for (int i = 0; i < _weights.Length; i++)
        {
            if (_weights[i] <= 0)
                continue;
            last = i;
            left -= _weights[i];
            if (left <= 0)
                break;
        }
        return last;
    }

    private void Decode()
    {
        DecodeStatus status = _context.Decode(_batch);
        if (status != DecodeStatus.Ok)
            throw new InvalidOperationException($"llama_decode: {status}");
        _context.Synchronize();
        _batch.Clear();
    }
}
