// Forward and backward over several micro-batches at once, one thread each: coarse parallelism keeps its speed when
// other work takes a core away (fine-grained OpenMP teams wait for the slower thread at every operation).
// Gradients are added up in micro-batch order, so the result does not depend on which thread was faster.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Stages;

public static class GradientPass
{
    /// <summary>Sums a loss over micro-batches and leaves the gradient in the masters' grad.</summary>
    /// <param name="model">The model; its masters are only read until the sum.</param>
    /// <param name="extra">Further parameters the loss depends on (a value or reward head); may be empty.</param>
    /// <param name="count">Number of micro-batches.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="type">The type to compute in.</param>
    /// <param name="scale">What every micro-batch's loss is multiplied by, such as one over the number of learnt tokens.</param>
    /// <param name="loss">The loss of one micro-batch; a scalar tensor.</param>
    /// <param name="frozen">Only the further parameters get gradients.</param>
    /// <returns>The scaled losses by micro-batch.</returns>
    public static double[] Run(
        Transformer model,
        IReadOnlyDictionary<string, Tensor> extra,
        int count,
        int workers,
        ScalarType type,
        double scale,
        Func<int, WorkingWeights, Tensor> loss,
        bool frozen = false)
    {
        var losses = new double[count];
        var gradients = new Dictionary<string, Tensor>[count];
        Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = workers }, i =>
        {
            using DisposeScope scope = NewDisposeScope();
            WorkingWeights weights = model.CastLeaves(type, extra, frozen);
            // As a tensor: a temporary Scalar may be freed by the collector before native code has read it.
            Tensor value = loss(i, weights) * tensor((float)scale);
            value.backward();
            losses[i] = value.data<float>()[0];
            gradients[i] = weights.Names.Where(n => weights[n].grad is not null)
                .ToDictionary(n => n, n => weights[n].grad!.DetachFromDisposeScope(), StringComparer.Ordinal);
        });

        using IDisposable noGrad = no_grad();
        using Scalar alpha = 1.0.ToScalar(); // Held, as above: add_ would make one of its own.
        foreach ((string name, Tensor weight) in frozen ? extra : model.Weights.Concat(extra))
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor sum = zeros_like(weight).requires_grad_(false);
            foreach (Dictionary<string, Tensor> one in gradients)
            {
                if (one.TryGetValue(name, out Tensor? gradient))
                {
                    sum.add_(gradient, alpha);
                }
            }

            if (weight.grad is { } old)
            {
                old.copy_(sum);
            }
            else
            {
                weight.grad = sum.DetachFromDisposeScope();
            }
        }

        foreach (Tensor gradient in gradients.SelectMany(g => g.Values))
        {
            gradient.Dispose();
        }

        return losses;
    }

    /// <summary>Summed cross-entropy of the learnt tokens of a batch, each predicted from those before it.</summary>
    public static Tensor CrossEntropy(Transformer model, WorkingWeights weights, Batch batch)
    {
        Tensor tokens = tensor(batch.Tokens, [batch.Rows, batch.Length]).to(model.Device);
        Tensor mask = tensor(batch.Weights, [batch.Rows, batch.Length]).to(model.Device).narrow(1, 1, batch.Length - 1).reshape(-1);
        Tensor hidden = model.Forward(weights, tokens.narrow(1, 0, batch.Length - 1));
        // Only rows that count go through the vocabulary-wide product.
        Tensor counted = mask.nonzero().squeeze(1);
        Tensor logits = Transformer.Logits(weights, hidden.reshape(-1, model.Config.Width).index_select(0, counted));
        Tensor targets = tokens.narrow(1, 1, batch.Length - 1).reshape(-1).index_select(0, counted);
        return nn.functional.cross_entropy(logits.to(ScalarType.Float32), targets, reduction: nn.Reduction.Sum);
    }
}
