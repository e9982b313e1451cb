using System.Diagnostics;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Benchmarks;

/// <summary>The limit: a bare llama_decode loop without sampling, over a context of the same shape with the same thread pool.</summary>
internal sealed class RawLoop : IDisposable
{
    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private List<double>? _steps;

    public RawLoop(BenchmarkSetup setup, int sequences, int cells)
    {
        _context = new LlamaContext(
            setup.Model, setup.Context(cells) with { MaxSequences = sequences, MaxOutputs = sequences }, NullLogger.Instance);
        _batch = new LlamaBatch(_context.BatchSize);
    }

    /// <summary>As below, and adds the seconds of each decode step.</summary>
    public void Run(IReadOnlyList<int[]> prompts, int outputTokens, List<double> stepSeconds)
    {
        _steps = stepSeconds;
        Run(prompts, outputTokens);
        _steps = null;
    }

    /// <summary>Prefills all prompts, as many rows a call as fit, then decodes that many tokens in each.</summary>
    /// <param name="sharedPrefix">Tokens that all prompts begin with, computed once and shared.</param>
    /// <returns>Seconds for all of it.</returns>
    public double Run(IReadOnlyList<int[]> prompts, int outputTokens, int sharedPrefix = 0) =>
        Run(prompts, [.. prompts.Select(_ => outputTokens)], sharedPrefix);

    /// <param name="outputTokens">For each prompt; who has them all has no row in the steps that follow.</param>
    public double Run(IReadOnlyList<int[]> prompts, IReadOnlyList<int> outputTokens, int sharedPrefix = 0)
    {
        _context.ClearMemory();
        long start = Stopwatch.GetTimestamp();
        if (sharedPrefix > 0)
        {
            Prefill(prompts[0].AsSpan(0, sharedPrefix), 0, 0);
            Flush();
            for (int i = 1; i < prompts.Count; i++)
                _context.CopySequence(0, i, 0, sharedPrefix);
        }
        for (int i = 0; i < prompts.Count; i++)
            Prefill(prompts[i].AsSpan(sharedPrefix), sharedPrefix, i);
        Flush();
        for (int step = 1; step < outputTokens.Max(); step++)
        {
            for (int i = 0; i < prompts.Count; i++)
                if (step < outputTokens[i])
                    _batch.Add(1000 + step + i, prompts[i].Length + step - 1, i, true);
            long began = Stopwatch.GetTimestamp();
            Flush();
            _steps?.Add(Stopwatch.GetElapsedTime(began).TotalSeconds);
        }
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public void Dispose()
    {
        _batch.Dispose();
        _context.Dispose();
    }

    private void Prefill(ReadOnlySpan<int> tokens, int start, int sequence)
    {
        for (int i = 0; i < tokens.Length; i++)
        {
            if (_batch.Count == _batch.Capacity)
                Flush();
            _batch.Add(tokens[i], start + i, sequence, i == tokens.Length - 1);
        }
    }

    private void Flush()
    {
        if (_batch.Count == 0)
            return;
        DecodeStatus status = _context.Decode(_batch);
        if (status != DecodeStatus.Ok)
            throw new InvalidOperationException($"llama_decode: {status}");
        _context.Synchronize();
        _batch.Clear();
    }
}
