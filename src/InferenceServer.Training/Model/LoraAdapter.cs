// A low-rank change of a model's matrices (LoRA): W + alpha / rank * B A, with A random and B zero at the start, so that training begins at the model as it is.
// Owned by one thread; passes over casts of it may run side by side.
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Model;

/// <summary>How large a change may be.</summary>
/// <param name="Rank">Of each matrix's change.</param>
/// <param name="Alpha">A change counts alpha / rank times.</param>
public sealed record LoraOptions(int Rank = 8, double Alpha = 16);

public sealed class LoraAdapter : IDisposable
{
    public const string SuffixA = ".lora_a", SuffixB = ".lora_b";

    private readonly SortedDictionary<string, Tensor> _parameters = new(StringComparer.Ordinal);
    private readonly string[] _adapted;

    // Kept in a field for the reason that the transformer's are.
    private readonly Scalar _one = 1.0.ToScalar();

    /// <param name="model">Whose matrices it changes: those of attention and of the feed-forward part.</param>
    /// <param name="options">How large a change.</param>
    /// <param name="seed">Seed of its A.</param>
    public LoraAdapter(Transformer model, LoraOptions options, int seed)
    {
        if (options.Rank < 1 || options.Rank > Math.Min(model.Config.Width, model.Config.FeedForward) || !double.IsFinite(options.Alpha))
        {
            throw new InvalidDataException($"Lora: a rank from 1 to the model's width is needed, and a finite alpha; they are {options.Rank} and {options.Alpha}.");
        }

        Options = options;
        using var generator = new Generator((ulong)seed, CPU);
        _adapted = [.. model.Weights.Where(weight => weight.Key.StartsWith("blk.", StringComparison.Ordinal) && weight.Value.dim() == 2).Select(weight => weight.Key)];
        foreach (string name in _adapted)
        {
            (long rows, long columns) = (model.Weights[name].shape[0], model.Weights[name].shape[1]);
            Register(name + SuffixA, randn([options.Rank, columns], generator: generator) * tensor((float)(1 / Math.Sqrt(columns))));
            Register(name + SuffixB, zeros(rows, options.Rank));
        }

        void Register(string name, Tensor value) => _parameters.Add(name, value.to(model.Device).requires_grad_(true).DetachFromDisposeScope());
    }

    public LoraOptions Options { get; }

    /// <summary>Float32 masters: of each matrix [out, in] an A [rank, in] and a B [out, rank], under its name and a suffix.</summary>
    public IReadOnlyDictionary<string, Tensor> Parameters => _parameters;

    /// <summary>Whether a parameter of this name is a part of an adapter.</summary>
    public static bool IsPart(string name) => name.EndsWith(SuffixA, StringComparison.Ordinal) || name.EndsWith(SuffixB, StringComparison.Ordinal);

    /// <summary>The model's weights with the change in them.</summary>
    /// <param name="weights">A cast of both.</param>
    public WorkingWeights Apply(WorkingWeights weights) => new(
        weights.Names.Where(name => !IsPart(name)).ToDictionary(name => name, name => _adapted.Contains(name) ? weights[name].add(Change(weights, name), _one) : weights[name], StringComparer.Ordinal),
        weights.Type);

    /// <summary>Makes the change part of the model's own weights.</summary>
    public void MergeInto(Transformer model)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        WorkingWeights merged = Apply(model.Cast(ScalarType.Float32, _parameters));
        foreach (string name in _adapted)
        {
            model.Weights[name].copy_(merged[name]);
        }
    }

    public void Dispose()
    {
        _one.Dispose();
        foreach (Tensor parameter in _parameters.Values)
        {
            parameter.Dispose();
        }
    }

    private Tensor Change(WorkingWeights weights, string name) =>
        matmul(weights[name + SuffixB], weights[name + SuffixA]) * tensor((float)(Options.Alpha / Options.Rank)).to(weights.Type);
}
