using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Model;

/// <summary>A linear readout of one number from a hidden state: the reward head and the value head. Starts at zero.</summary>
public sealed class ScalarHead : IDisposable
{
    private readonly string _name;
    private readonly Tensor _weight;

    public ScalarHead(string name, int width, Device device)
    {
        _name = name + ".weight";
        _weight = zeros(1, width, device: device).requires_grad_(true).DetachFromDisposeScope();
    }

    public IReadOnlyDictionary<string, Tensor> Weights => new Dictionary<string, Tensor>(StringComparer.Ordinal) { [_name] = _weight };

    /// <summary>One number for each hidden state: [n, width] to [n], float32.</summary>
    public Tensor Read(WorkingWeights weights, Tensor hidden) =>
        nn.functional.linear(hidden, weights[_name]).squeeze(-1).to(ScalarType.Float32);

    public void Dispose() => _weight.Dispose();
}
