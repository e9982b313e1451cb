// The decoder, computing what llama.cpp computes for arch "llama": RMSNorm before each part, rotary embedding of
// interleaved pairs, grouped-query attention, SwiGLU, embeddings tied to the output.
// Owned by one thread. Weights are float32 masters under their GGUF names; a forward pass runs on a cast of them.
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Model;

public sealed class Transformer : IDisposable
{
    private readonly SortedDictionary<string, Tensor> _weights = new(StringComparer.Ordinal);
    private readonly Dictionary<ScalarType, RotaryTables> _rotary = [];
    // Kept in fields: TorchSharp frees a temporary Scalar as soon as its handle was read, at times before native code has.
    // "a + b" and "square()" make such temporaries too: on a busy machine three evaluations of six died in one.
    private readonly Scalar _one = 1.0.ToScalar();
    private readonly Scalar _epsilon;

    /// <param name="config">The shape.</param>
    /// <param name="seed">Seed of the initial weights.</param>
    /// <param name="device">Where weights live and passes run.</param>
    public Transformer(ModelConfig config, int seed, Device? device = null)
    {
        Config = config.Validated();
        _epsilon = config.NormEpsilon.ToScalar();
        Device = device ?? CPU;
        using var generator = new Generator((ulong)seed, CPU);
        int kvWidth = config.KvHeads * config.HeadSize;
        // Residual branches start at zero: each block begins as the identity, the usual start with Muon.
        Add("token_embd.weight", 0.02, config.VocabularySize, config.Width);
        for (int i = 0; i < config.Layers; i++)
        {
            double scale = 1.0 / Math.Sqrt(config.Width);
            Add($"blk.{i}.attn_q.weight", scale, config.Width, config.Width);
            Add($"blk.{i}.attn_k.weight", scale, kvWidth, config.Width);
            Add($"blk.{i}.attn_v.weight", scale, kvWidth, config.Width);
            Add($"blk.{i}.attn_output.weight", 0, config.Width, config.Width);
            Add($"blk.{i}.ffn_gate.weight", scale, config.FeedForward, config.Width);
            Add($"blk.{i}.ffn_up.weight", scale, config.FeedForward, config.Width);
            Add($"blk.{i}.ffn_down.weight", 0, config.Width, config.FeedForward);
            AddGain($"blk.{i}.attn_norm.weight");
            AddGain($"blk.{i}.ffn_norm.weight");
        }

        AddGain("output_norm.weight");

        void Add(string name, double scale, long rows, long columns) =>
            Register(name, scale == 0 ? zeros(rows, columns) : randn([rows, columns], generator: generator) * tensor((float)scale));
        void AddGain(string name) => Register(name, ones(config.Width));
        void Register(string name, Tensor value)
        {
            Tensor placed = value.to(Device).requires_grad_(true);
            _weights.Add(name, placed.DetachFromDisposeScope());
        }
    }

    public ModelConfig Config { get; }

    public Device Device { get; }

    /// <summary>Float32 master weights by GGUF tensor name: [out, in] for matrices, [width] for norm gains.</summary>
    public IReadOnlyDictionary<string, Tensor> Weights => _weights;

    public long ParameterCount => _weights.Values.Sum(w => w.numel());

    /// <summary>The weights in the type to compute in; gradients flow back to the masters when enabled.</summary>
    public WorkingWeights Cast(ScalarType type, IEnumerable<KeyValuePair<string, Tensor>>? extra = null) =>
        new(_weights.Concat(extra ?? []).ToDictionary(p => p.Key, p => p.Value.to(type), StringComparer.Ordinal), type);

    /// <summary>A cast cut off from the masters: each tensor collects its own gradient, so passes may run side by side.</summary>
    /// <param name="type">The type to compute in.</param>
    /// <param name="extra">Further parameters.</param>
    /// <param name="frozen">Only those collect gradients.</param>
    public WorkingWeights CastLeaves(ScalarType type, IEnumerable<KeyValuePair<string, Tensor>>? extra = null, bool frozen = false) =>
        new(_weights.Select(p => (p.Key, Leaf(p.Value, !frozen, type))).Concat((extra ?? []).Select(p => (p.Key, Leaf(p.Value, true, type)))).ToDictionary(p => p.Key, p => p.Item2, StringComparer.Ordinal), type);

    /// <summary>Hidden states after the last norm.</summary>
    /// <param name="weights">A cast of this model's weights.</param>
    /// <param name="tokens">[batch, time] int64.</param>
    /// <param name="cache">When given, the keys and values before; its length advances by time. Time must be 1 unless it is empty.</param>
    /// <returns>[batch, time, width].</returns>
    public Tensor Forward(WorkingWeights weights, Tensor tokens, KvCache? cache = null)
    {
        int start = cache?.Length ?? 0, time = (int)tokens.shape[1];
        if (start + time > Config.ContextLength)
        {
            throw new ArgumentException($"{start + time} positions exceed the context of {Config.ContextLength}.", nameof(tokens));
        }

        if (start > 0 && time != 1)
        {
            throw new ArgumentException("A filled cache takes one position at a time.", nameof(tokens));
        }

        RotaryTables rotary = Rotary(weights.Type);
        (Tensor cos, Tensor sin) = (rotary.Cos.narrow(0, start, time), rotary.Sin.narrow(0, start, time));
        Tensor x = weights["token_embd.weight"].index_select(0, tokens.flatten()).view(tokens.shape[0], time, Config.Width);
        for (int i = 0; i < Config.Layers; i++)
        {
            x = x.add(Attention(weights, i, Norm(x, weights[$"blk.{i}.attn_norm.weight"]), cos, sin, rotary.Turn, cache), _one);
            Tensor h = Norm(x, weights[$"blk.{i}.ffn_norm.weight"]);
            Tensor gate = nn.functional.silu(nn.functional.linear(h, weights[$"blk.{i}.ffn_gate.weight"]));
            Tensor up = nn.functional.linear(h, weights[$"blk.{i}.ffn_up.weight"]);
            x = x.add(nn.functional.linear(gate * up, weights[$"blk.{i}.ffn_down.weight"]), _one);
        }

        cache?.Advance(time);
        return Norm(x, weights["output_norm.weight"]);
    }

    /// <summary>Logits [.., vocabulary] of hidden states [.., width].</summary>
    public static Tensor Logits(WorkingWeights weights, Tensor hidden) =>
        nn.functional.linear(hidden, weights["token_embd.weight"]);

    public void CopyWeightsFrom(Transformer other)
    {
        using (no_grad())
        {
            foreach ((string name, Tensor weight) in _weights)
            {
                weight.copy_(other._weights[name]);
            }
        }
    }

    public void Dispose()
    {
        _one.Dispose();
        _epsilon.Dispose();
        foreach (Tensor weight in _weights.Values)
        {
            weight.Dispose();
        }

        foreach (RotaryTables tables in _rotary.Values)
        {
            tables.Dispose();
        }
    }

    private static Tensor Leaf(Tensor weight, bool collects, ScalarType type) => weight.detach().to(type, copy: true).requires_grad_(collects);

    private Tensor Attention(WorkingWeights weights, int layer, Tensor h, Tensor cos, Tensor sin, Tensor turn, KvCache? cache)
    {
        long batch = h.shape[0], time = h.shape[1];
        Tensor q = Rotate(Split(nn.functional.linear(h, weights[$"blk.{layer}.attn_q.weight"]), Config.Heads));
        Tensor k = Rotate(Split(nn.functional.linear(h, weights[$"blk.{layer}.attn_k.weight"]), Config.KvHeads));
        Tensor v = Split(nn.functional.linear(h, weights[$"blk.{layer}.attn_v.weight"]), Config.KvHeads);
        bool causal = true;
        if (cache is not null)
        {
            causal = cache.Length == 0;
            (k, v) = cache.Append(layer, k, v);
        }

        int group = Config.Heads / Config.KvHeads;
        if (group > 1)
        {
            k = k.repeat_interleave(group, 1);
            v = v.repeat_interleave(group, 1);
        }

        Tensor mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_casual: causal && time > 1);
        return nn.functional.linear(
            mixed.transpose(1, 2).reshape(batch, time, Config.Width), weights[$"blk.{layer}.attn_output.weight"]);

        Tensor Split(Tensor t, int heads) => t.view(batch, time, heads, Config.HeadSize).transpose(1, 2);
        // A fixed signed permutation turns (a, b) into (-b, a): one small product beats slicing pairs apart.
        Tensor Rotate(Tensor t) => (t * cos).addcmul(matmul(t, turn), sin, _one);
    }

    private Tensor Norm(Tensor x, Tensor gain)
    {
        Tensor exact = x.to(ScalarType.Float32);
        Tensor scale = (exact * exact).mean([-1], keepdim: true).add(_epsilon, _one).rsqrt();
        return x * scale.to(x.dtype) * gain;
    }

    private RotaryTables Rotary(ScalarType type)
    {
        // Passes run side by side: the one write is guarded, tables never change afterwards.
        lock (_rotary)
        {
            if (!_rotary.TryGetValue(type, out RotaryTables? tables))
            {
                tables = new RotaryTables(Config, type, Device);
                _rotary.Add(type, tables);
            }

            return tables;
        }
    }

    private sealed class RotaryTables : IDisposable
    {
        public RotaryTables(ModelConfig config, ScalarType type, Device device)
        {
            int size = config.HeadSize;
            var cos = new float[config.ContextLength * size];
            var sin = new float[config.ContextLength * size];
            var turn = new float[size * size];
            for (int pair = 0; pair < size / 2; pair++)
            {
                double frequency = Math.Pow(config.RopeTheta, -2.0 * pair / size);
                for (int position = 0; position < config.ContextLength; position++)
                {
                    int at = (position * size) + (2 * pair);
                    cos[at] = cos[at + 1] = (float)Math.Cos(position * frequency);
                    sin[at] = sin[at + 1] = (float)Math.Sin(position * frequency);
                }

                turn[((2 * pair) + 1) * size + (2 * pair)] = -1;
                turn[(2 * pair * size) + (2 * pair) + 1] = 1;
            }

            Cos = tensor(cos, [config.ContextLength, size]).to(type).to(device).DetachFromDisposeScope();
            Sin = tensor(sin, [config.ContextLength, size]).to(type).to(device).DetachFromDisposeScope();
            Turn = tensor(turn, [size, size]).to(type).to(device).DetachFromDisposeScope();
        }

        public Tensor Cos { get; }

        public Tensor Sin { get; }

        public Tensor Turn { get; }

        public void Dispose()
        {
            Cos.Dispose();
            Sin.Dispose();
            Turn.Dispose();
        }
    }
}

/// <summary>A model's weights in the type of one or more passes; lives as long as the enclosing dispose scope.</summary>
public sealed class WorkingWeights(IReadOnlyDictionary<string, Tensor> tensors, ScalarType type)
{
    public ScalarType Type { get; } = type;

    public IEnumerable<string> Names => tensors.Keys;

    public Tensor this[string name] => tensors[name];
}
