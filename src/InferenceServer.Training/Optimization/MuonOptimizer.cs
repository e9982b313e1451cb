// Muon (momentum, orthogonalised by Newton-Schulz) for the hidden matrices, AdamW for embeddings, norm gains and low-rank changes.
// One thread. State is plain tensors by weight name, so that a checkpoint resumes bit for bit.
using InferenceServer.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Optimization;

/// <summary>Rates and decays of one stage: Muon's for the hidden matrices, AdamW's for embeddings, gains and heads.</summary>
public sealed record OptimizerOptions(
    double MatrixRate = 0.01,
    double VectorRate = 0.003,
    double Momentum = 0.95,
    double Beta1 = 0.9,
    double Beta2 = 0.98,
    double WeightDecay = 0.01,
    double ClipNorm = 1.0);

public sealed class MuonOptimizer : IDisposable
{
    private const int NewtonSchulzSteps = 5;
    private readonly IReadOnlyDictionary<string, Tensor> _weights;
    private readonly OptimizerOptions _options;
    private readonly SortedDictionary<string, Tensor> _state = new(StringComparer.Ordinal);

    public MuonOptimizer(IReadOnlyDictionary<string, Tensor> weights, OptimizerOptions options)
    {
        _weights = weights;
        _options = options;
        foreach ((string name, Tensor weight) in weights)
        {
            _state.Add(name + ":first", zeros_like(weight).requires_grad_(false).DetachFromDisposeScope());
            if (!UsesMuon(name, weight))
            {
                _state.Add(name + ":second", zeros_like(weight).requires_grad_(false).DetachFromDisposeScope());
            }
        }
    }

    /// <summary>Moments by weight name, for checkpoints.</summary>
    public IReadOnlyDictionary<string, Tensor> State => _state;

    /// <summary>Updates done so far; part of the state (bias correction).</summary>
    public long Updates { get; set; }

    /// <summary>One update from the gradients, which it clears. Returns the gradient norm before clipping.</summary>
    public double Step(double rateFactor)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        Updates++;
        Tensor[] gradients = [.. _weights.Values.Select(w => w.grad ?? throw new InvalidOperationException("A weight got no gradient."))];
        double norm = Math.Sqrt(stack([.. gradients.Select(g => (g * g).sum())]).sum().data<float>()[0]);
        if (!double.IsFinite(norm))
        {
            throw new InvalidDataException($"The gradient is not finite at update {Updates}: lower the rate or resume from an earlier checkpoint.");
        }

        using Tensor clip = tensor((float)(norm > _options.ClipNorm ? _options.ClipNorm / norm : 1));
        // Weights do not depend on each other: two at a time, since one product is too small to share.
        Parallel.ForEach(_weights, new ParallelOptions { MaxDegreeOfParallelism = 2 }, pair =>
        {
            using IDisposable quiet = no_grad();
            using DisposeScope local = NewDisposeScope();
            (string name, Tensor weight) = pair;
            Tensor gradient = weight.grad!.mul_(clip);
            if (UsesMuon(name, weight))
            {
                UpdateMatrix(name, weight, gradient, rateFactor);
            }
            else
            {
                UpdateAdam(name, weight, gradient, rateFactor);
            }

            weight.grad!.zero_();
        });

        return norm;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _state.Values)
        {
            tensor.Dispose();
        }
    }

    private static bool UsesMuon(string name, Tensor weight) =>
        weight.dim() == 2 && name.StartsWith("blk.", StringComparison.Ordinal) && !LoraAdapter.IsPart(name);

    // Scalars are held to the end of the method: a temporary one may be freed before native code has read it.
    private void UpdateMatrix(string name, Tensor weight, Tensor gradient, double rateFactor)
    {
        using Scalar keep = _options.Momentum.ToScalar(), add = (1 - _options.Momentum).ToScalar();
        Tensor momentum = _state[name + ":first"];
        momentum.mul_(keep).add_(gradient, add);
        Tensor update = Orthogonalize(gradient.mul(add).add_(momentum, keep));
        double rate = _options.MatrixRate * rateFactor;
        using Scalar shrink = (1 - (rate * _options.WeightDecay)).ToScalar();
        using Scalar step = (-rate * Math.Sqrt(Math.Max(1, (double)weight.shape[0] / weight.shape[1]))).ToScalar();
        weight.mul_(shrink).add_(update, step);
    }

    private void UpdateAdam(string name, Tensor weight, Tensor gradient, double rateFactor)
    {
        Tensor first = _state[name + ":first"], second = _state[name + ":second"];
        using Scalar keep1 = _options.Beta1.ToScalar(), add1 = (1 - _options.Beta1).ToScalar();
        using Scalar keep2 = _options.Beta2.ToScalar(), add2 = (1 - _options.Beta2).ToScalar();
        first.mul_(keep1).add_(gradient, add1);
        second.mul_(keep2).addcmul_(gradient, gradient, add2);
        using Scalar correct2 = (1 - Math.Pow(_options.Beta2, Updates)).ToScalar(), tiny = 1e-8.ToScalar();
        using Scalar step = (-_options.VectorRate * rateFactor / (1 - Math.Pow(_options.Beta1, Updates))).ToScalar();
        weight.addcdiv_(first, second.div(correct2).sqrt_().add_(tiny), step);
    }

    // The quintic iteration of Keller Jordan's Muon: singular values go to about one, in bfloat16.
    private static Tensor Orthogonalize(Tensor matrix)
    {
        using Scalar a = 3.4445.ToScalar(), b = (-4.7750).ToScalar(), c = 2.0315.ToScalar(), tiny = 1e-7.ToScalar();
        bool tall = matrix.shape[0] > matrix.shape[1];
        Tensor x = matrix.to(ScalarType.BFloat16);
        x = tall ? x.t().contiguous() : x;
        x = x / x.norm().add(tiny);
        for (int i = 0; i < NewtonSchulzSteps; i++)
        {
            Tensor gram = x.mm(x.t());
            Tensor polynomial = gram.mul(b).add_(gram.mm(gram), c);
            x = x.mul(a).add_(polynomial.mm(x));
        }

        return (tall ? x.t() : x).to(ScalarType.Float32);
    }
}
