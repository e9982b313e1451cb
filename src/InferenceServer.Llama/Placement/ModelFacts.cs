// What a model takes of memory, and where: from the headers of its files, and where it was asked from llama.cpp itself.
using System.Text.RegularExpressions;

using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama.Placement;

/// <summary>A layer.</summary>
/// <param name="WeightBytes">All its tensors.</param>
/// <param name="ExpertBytes">Those of them that a mixture of experts chooses from.</param>
/// <param name="KeyElements">Numbers that a token's keys have; 0 without attention.</param>
/// <param name="ValueElements">Numbers that its values have.</param>
/// <param name="IsWindowed">It keeps the tokens of a window only.</param>
/// <param name="StateBytes">What it keeps for a sequence, however long that is.</param>
public readonly record struct LayerFacts(long WeightBytes, long ExpertBytes, long KeyElements, long ValueElements, bool IsWindowed, long StateBytes);

/// <summary>What computing takes beside weights and KV cache.</summary>
/// <param name="DeviceBytes">On each GPU that has layers,</param>
/// <param name="DeviceBytesPerCell">and there for each cell of the KV cache.</param>
/// <param name="HostBytes">In host memory beside a GPU; without one the host takes what a device would.</param>
/// <param name="HostBytesPerCell">And for each cell.</param>
public readonly record struct ComputeCost(long DeviceBytes, double DeviceBytesPerCell, long HostBytes, double HostBytesPerCell);

/// <summary>What a model takes of memory.</summary>
public sealed partial record ModelFacts
{
    // llama.cpp pads the cache of a window to this many cells (llama-kv-cache-iswa.cpp), and a context's cells too (llama-context.cpp).
    private const int CellPadding = 256;

    // Every so many layers one sees all positions, where the file does not say it: the second argument of load_swa_pattern in llama.cpp's src/models, and whether
    // the first of them is that one.
    private static readonly Dictionary<string, (int Period, bool DenseFirst)> WindowPatterns = new(StringComparer.Ordinal)
    {
        ["afmoe"] = (4, false),
        ["cohere2"] = (4, false),
        ["exaone4"] = (4, false),
        ["exaone-moe"] = (4, false),
        ["gemma2"] = (2, false),
        ["gemma3"] = (6, false),
        ["gemma3n"] = (5, false),
        ["gemma-embedding"] = (6, false),
        ["gpt-oss"] = (2, false),
        ["llama4"] = (4, false),
        ["modern-bert"] = (3, true),
        ["olmo2"] = (4, false),
        ["plamo3"] = (8, false),
        ["smallthinker"] = (4, true),
    };

    private ModelFacts(string path, GgufFile header)
    {
        Path = path;
        Header = header;
    }

    /// <summary>The file, of a split model the first part.</summary>
    public string Path { get; }

    /// <summary>Each layer's part.</summary>
    public required IReadOnlyList<LayerFacts> Layers { get; init; }

    /// <summary>Embeddings of tokens and their like, which stay in host memory.</summary>
    public required long InputBytes { get; init; }

    /// <summary>What follows the last layer, and counts as a layer more: norm and output matrix.</summary>
    public required long OutputBytes { get; init; }

    /// <summary>The part of these that is the input's matrix again: host memory has it once, a GPU gets a copy.</summary>
    public long TiedBytes { get; init; }

    /// <summary>All weights, each once.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Context the model was trained for, in tokens.</summary>
    public required int TrainContextLength { get; init; }

    /// <summary>Tokens that windowed layers look back; 0 without such layers.</summary>
    public int Window { get; init; }

    /// <summary>Of a layer's experts the part that computes a token: 1 without any.</summary>
    public double ActiveExpertShare { get; init; } = 1;

    /// <summary>What computing takes, where llama.cpp was asked; null where a formula has to do.</summary>
    public ComputeCost? Compute { get; init; }

    /// <summary>What the KV cache took when llama.cpp was asked, as a part of what the header lets expect.</summary>
    public double KvFactor { get; init; } = 1;

    /// <summary>Layers that have experts.</summary>
    public int ExpertLayers => Layers.Count(layer => layer.ExpertBytes > 0);

    /// <summary>What the model keeps of past tokens.</summary>
    public MemoryKind MemoryKind => Layers.Any(layer => layer.StateBytes > 0) ? Layers.Any(layer => layer.KeyElements > 0) ? MemoryKind.Hybrid : MemoryKind.Recurrent
        : Window > 0 ? MemoryKind.SlidingWindow : MemoryKind.Dense;

    internal GgufFile Header { get; }

    /// <summary>Reads the headers of a model's files.</summary>
    /// <param name="path">A GGUF file; of a split model the first part.</param>
    /// <param name="devices">What the model may lie in the memory of.</param>
    /// <exception cref="LlamaException">The file is missing, damaged, not supported or too large; the message says which and what to do.</exception>
    public static ModelFacts Read(string path, IEnumerable<LlamaDevice> devices) => Of(path, ModelFileCheck.Check(path, devices.Where(device => device.Type is LlamaDeviceType.Gpu).Sum(device => device.TotalBytes)));

    /// <summary>Bytes one token takes in the KV cache over all attention layers, those with a window counted as if they had none.</summary>
    public static long KvBytesPerToken(GgufFile header, KvType typeK, KvType typeV) => Attention(header).Sum(layer => RowBytes(layer.Keys, typeK) + RowBytes(layer.Values, typeV));

    /// <summary>What a layer keeps of the past.</summary>
    /// <param name="layer">Its index.</param>
    /// <param name="cells">Cells of the whole cache.</param>
    /// <param name="context">How many sequences there are, how they share cells, and how numbers are stored.</param>
    public long KvBytes(int layer, long cells, LlamaContextOptions context)
    {
        LayerFacts facts = Layers[layer];
        long padded = Padded(cells);
        if (facts.IsWindowed && !context.FullSlidingWindow)
            padded = WindowCells(cells, context);
        long perCell = RowBytes(facts.KeyElements, context.TypeK) + RowBytes(facts.ValueElements, context.TypeV);
        return (long)(padded * perCell * KvFactor) + (facts.StateBytes * context.MaxSequences);
    }

    /// <summary>What all layers keep.</summary>
    public long KvBytes(long cells, LlamaContextOptions context) => Enumerable.Range(0, Layers.Count).Sum(layer => KvBytes(layer, cells, context));

    /// <summary>
    /// What computing takes: as llama.cpp said, else by a formula. That one counts what the widest part of a layer makes of a micro-batch, or the logits if they
    /// are more, and the mask of attention; it is fitted to what llama.cpp reserves for models of several architectures (PlacementAccuracyTests).
    /// </summary>
    public ComputeCost ComputeOf(LlamaContextOptions context) => Compute ?? Estimate(context);

    /// <summary>
    /// What a GPU takes more when all layers are on several: they compute several micro-batches in turn then, and have the inputs of each
    /// (GGML_SCHED_MAX_COPIES; llama_context's pipeline_parallel).
    /// </summary>
    internal long PipelineBytes(long cells, LlamaContextOptions context)
    {
        const int MoreCopies = 3;
        ComputeCost estimate = Estimate(context);
        return MoreCopies * (estimate.HostBytes + (long)(estimate.HostBytesPerCell * cells));
    }

    private ComputeCost Estimate(LlamaContextOptions context)
    {
        const int Float = sizeof(float), Half = 2;
        long rows = context.Embeddings || IsBidirectional ? context.BatchSize : Math.Min(context.MicroBatchSize, context.BatchSize);
        long outputs = context.MaxOutputs == 0 ? rows : Math.Min(rows, Math.Max(context.MaxOutputs, context.MaxSequences));
        long width = Header.Hyper("embedding_length") ?? 0, heads = Most("attention.head_count");
        long attention = heads * (Header.Hyper("attention.key_length") ?? (heads > 0 ? width / heads : 0));
        long experts = Most("expert_used_count"), expertForward = Header.Hyper("expert_feed_forward_length") ?? Most("feed_forward_length");
        long forward = experts > 0 ? (experts * ((3 * expertForward) + width)) + width : 3 * Most("feed_forward_length");
        long state = 6 * (Header.Hyper("ssm.inner_size") ?? 0);
        long layer = rows * Float * ((4 * width) + Math.Max(Math.Max(forward, 3 * attention), state));
        long logits = outputs * Float * (Vocabulary + (2 * width));
        // Fused attention reads the mask as 16-bit floats; without, there are scores of each head besides.
        bool isFused = context.FlashAttention is not FlashAttention.Off;
        double cell = Layers.Any(facts => facts.KeyElements > 0) ? rows * (isFused ? Half : Float * (1.0 + heads)) : 0;
        // Windowed layers have a mask of their own.
        long window = Window > 0 ? (long)(WindowCells(context.CellCount, context) * cell) : 0;
        return new ComputeCost(Math.Max(layer, logits) + window, cell, (rows * Float * width) + window, cell);

        long Most(string name) => Header.Hyper(name) ?? Header.GetArray($"{Header.Architecture}.{name}")?.Values.DefaultIfEmpty().Max() ?? 0;
    }

    /// <summary>Attention in both directions must see a whole call at once.</summary>
    internal bool IsBidirectional => Header.GetBoolean($"{Header.Architecture}.attention.causal") == false;

    private long Vocabulary => Header.GetArray("tokenizer.ggml.tokens")?.Count ?? Header.Hyper("vocab_size") ?? 0;

    internal static ModelFacts Of(string path, GgufFile header)
    {
        int count = (int)(header.Hyper("block_count") ?? 0);
        var weights = new long[count];
        var experts = new long[count];
        long input = 0, output = 0, embedding = 0;
        bool tied = true;
        foreach (GgufTensor tensor in Tensors(path, header))
        {
            ReadOnlySpan<char> name = tensor.Name;
            tied &= !name.StartsWith("output.weight", StringComparison.Ordinal);
            if (name.StartsWith("blk.", StringComparison.Ordinal) && name[4..].IndexOf('.') is var dot and > 0 && int.TryParse(name.Slice(4, dot), out int layer) && layer < count)
            {
                weights[layer] += tensor.SizeBytes;
                if (ExpertPattern().IsMatch(name))
                    experts[layer] += tensor.SizeBytes;
            }
            else if (name.StartsWith("token_embd.", StringComparison.Ordinal))
                (input, embedding) = (input + tensor.SizeBytes, tensor.SizeBytes);
            // The tensors of LLM_TENSOR_LAYER_INPUT in llama-arch.cpp.
            else if (name.StartsWith("position_embd.", StringComparison.Ordinal) || name.StartsWith("token_types.", StringComparison.Ordinal) || name.StartsWith("per_layer_token_embd.", StringComparison.Ordinal))
                input += tensor.SizeBytes;
            else
                output += tensor.SizeBytes;
        }

        int window = (int)Math.Clamp(header.Hyper("attention.sliding_window") ?? 0, 0, int.MaxValue);
        bool[] windowed = window == 0 ? new bool[count] : Windowed(header, count);
        (long Keys, long Values)[] attention = Attention(header);
        long state = StateBytes(header);
        long expertCount = header.Hyper("expert_count") ?? 0, used = header.Hyper("expert_used_count") ?? header.GetArray($"{header.Architecture}.expert_used_count")?.Values.DefaultIfEmpty().Max() ?? 0;
        return new ModelFacts(path, header)
        {
            Layers = [.. Enumerable.Range(0, count).Select(layer => new LayerFacts(weights[layer], experts[layer], attention[layer].Keys, attention[layer].Values, windowed[layer] && attention[layer].Keys > 0, attention[layer].Keys > 0 ? 0 : state))],
            InputBytes = input,
            OutputBytes = output + (tied ? embedding : 0),
            TiedBytes = tied ? embedding : 0,
            WeightBytes = input + output + weights.Sum(),
            TrainContextLength = (int)Math.Clamp(header.Hyper("context_length") ?? 0, 1, int.MaxValue / 2),
            Window = windowed.Any(isWindowed => isWindowed) ? window : 0,
            ActiveExpertShare = expertCount > 0 && used > 0 ? Math.Min(1, (double)used / expertCount) : 1,
        };
    }

    /// <summary>Of all parts of the model.</summary>
    private static IEnumerable<GgufTensor> Tensors(string path, GgufFile header)
    {
        long parts = header.GetInteger("split.count") ?? 1;
        if (parts <= 1 || PartPattern().Match(path) is not { Success: true } part)
            return header.Tensors;
        return header.Tensors.Concat(Enumerable.Range(2, (int)Math.Min(parts, 99_999) - 1).Select(number => $"{path[..part.Index]}-{number:00000}{part.Groups[1].Value}")
            // A part that is missing is for the load to tell.
            .Where(File.Exists).SelectMany(file => GgufReader.Read(file).Tensors));
    }

    /// <summary>Numbers that a token's keys and values have in each layer.</summary>
    private static (long Keys, long Values)[] Attention(GgufFile file)
    {
        int layers = (int)(file.Hyper("block_count") ?? 0);
        var attention = new (long Keys, long Values)[layers];
        long width = file.Hyper("embedding_length") ?? 0;
        long heads = file.Hyper("attention.head_count") ?? file.GetArray($"{file.Architecture}.attention.head_count")?.Values.DefaultIfEmpty().Max() ?? 0;
        if (heads == 0)
            return attention;
        long keyLength = file.Hyper("attention.key_length") ?? width / heads;
        long valueLength = file.Hyper("attention.value_length") ?? width / heads;
        IReadOnlyList<long>? perLayer = file.GetArray($"{file.Architecture}.attention.head_count_kv")?.Values;
        long everyLayer = file.Hyper("attention.head_count_kv") ?? heads;
        // Qwen3-Next and its kin name the distance between attention layers instead of zeroing the others' head counts.
        long interval = file.Hyper("full_attention_interval") ?? (file.Architecture is "qwen3next" or "qwen35" or "qwen35moe" ? 4 : 1);
        for (int layer = 0; layer < layers; layer++)
            if ((layer + 1) % interval == 0)
            {
                long headsKv = perLayer is null ? everyLayer : layer < perLayer.Count ? perLayer[layer] : 0;
                attention[layer] = (headsKv * keyLength, headsKv * valueLength);
            }

        return attention;
    }

    /// <summary>What a layer without attention keeps for a sequence: llama_hparams::n_embd_r and n_embd_s, in 32-bit floats.</summary>
    private static long StateBytes(GgufFile file)
    {
        long width = file.Hyper("embedding_length") ?? 0;
        if (file.Hyper("wkv.head_size") is { } head and > 0)
            return sizeof(float) * width * ((file.Hyper("token_shift_count") ?? 2) + head);
        if (file.Hyper("shortconv.l_cache") is { } kept and > 0)
            return sizeof(float) * width * (kept - 1);
        long inner = file.Hyper("ssm.inner_size") ?? 0, state = file.Hyper("ssm.state_size") ?? 0, groups = file.Hyper("ssm.group_count") ?? 0;
        long convolution = Math.Max(0, (file.Hyper("ssm.conv_kernel") ?? 0) - 1);
        return sizeof(float) * ((convolution * (inner + (2 * groups * state))) + (state * inner));
    }

    private static bool[] Windowed(GgufFile header, int layers)
    {
        string key = $"{header.Architecture}.attention.sliding_window_pattern";
        if (header.GetArray(key)?.Values is { Count: > 0 } flags)
            return [.. Enumerable.Range(0, layers).Select(layer => layer < flags.Count && flags[layer] != 0)];
        if (!WindowPatterns.TryGetValue(header.Architecture, out (int Period, bool DenseFirst) pattern))
            return new bool[layers];
        int period = (int)Math.Clamp(header.GetInteger(key) ?? pattern.Period, 0, int.MaxValue);
        return [.. Enumerable.Range(0, layers).Select(layer => period == 0 || (pattern.DenseFirst ? layer % period != 0 : layer % period < period - 1))];
    }

    /// <summary>Cells that windowed layers have: llama_kv_cache_iswa's constructor.</summary>
    private long WindowCells(long cells, LlamaContextOptions context)
    {
        long streams = context.KvUnified ? 1 : context.MaxSequences, sequences = context.KvUnified ? context.MaxSequences : 1;
        return streams * Math.Min(Padded(cells) / streams, Padded((Window * sequences) + context.MicroBatchSize));
    }

    private static long Padded(long cells) => (cells + CellPadding - 1) / CellPadding * CellPadding;

    private static long RowBytes(long elements, KvType type)
    {
        (int blockElements, int blockBytes) = GgufTensorTypes.BlockOf((GgufTensorType)type)!.Value;
        return (elements + blockElements - 1) / blockElements * blockBytes;
    }

    // LLM_FFN_EXPS_REGEX in llama.cpp's common.h.
    [GeneratedRegex(@"\.ffn_(up|down|gate|gate_up)_(ch|)exps")]
    private static partial Regex ExpertPattern();

    // llama.cpp's names of parts.
    [GeneratedRegex(@"-00001(-of-\d{5}\.gguf)$")]
    private static partial Regex PartPattern();
}
