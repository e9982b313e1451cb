using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Model;

/// <summary>Keys and values of positions already computed, [batch, KV heads, capacity, head size] a layer. One thread.</summary>
public sealed class KvCache : IDisposable
{
    private readonly Tensor[] _keys;
    private readonly Tensor[] _values;

    public KvCache(ModelConfig config, int batch, int capacity, ScalarType type, Device device)
    {
        _keys = Allocate();
        _values = Allocate();

        Tensor[] Allocate() => [.. Enumerable.Range(0, config.Layers).Select(_ =>
            zeros([batch, config.KvHeads, capacity, config.HeadSize], type, device).DetachFromDisposeScope())];
    }

    public int Length { get; private set; }

    internal (Tensor Keys, Tensor Values) Append(int layer, Tensor keys, Tensor values)
    {
        long time = keys.shape[2];
        _keys[layer].narrow(2, Length, time).copy_(keys);
        _values[layer].narrow(2, Length, time).copy_(values);
        return (_keys[layer].narrow(2, 0, Length + time), _values[layer].narrow(2, 0, Length + time));
    }

    internal void Advance(int time) => Length += time;

    public void Dispose()
    {
        foreach (Tensor tensor in _keys.Concat(_values))
        {
            tensor.Dispose();
        }
    }
}
