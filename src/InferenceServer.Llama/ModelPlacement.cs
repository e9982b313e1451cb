// How much memory a model's parts take and which of them go to a GPU, from the file's header alone.
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama;

/// <summary>Sizes computed from tensor entries and hyperparameters.</summary>
internal static class ModelPlacement
{
    /// <summary>Layers to offload: what was asked for, else as many of the last ones as the free device memory holds.</summary>
    public static int GpuLayers(LlamaLibrary library, GgufFile file, LlamaModelOptions options)
    {
        if (options.GpuLayers is < 0)
            throw new LlamaException($"--gpu-layers {options.GpuLayers} is negative: give auto or 0 and more");
        if (library.GpuDevices.Count == 0)
            return 0;
        int layers = (int)file.Hyper("block_count")!.Value;
        if (options.GpuLayers is { } wanted)
            return Math.Min(wanted, layers + 1);

        long free = library.Devices.Where(d => d.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu).Sum(d => d.FreeBytes);
        long room = free - options.DeviceReserveBytes;
        long[] layerBytes = LayerBytes(file, layers, out long outputBytes);
        room -= outputBytes;
        if (room < 0)
            return 0;
        int count = 1; // The output layer, which llama.cpp offloads first.
        for (int layer = layers - 1; layer >= 0 && room >= layerBytes[layer]; layer--, count++)
            room -= layerBytes[layer];
        return count;
    }

    /// <summary>Bytes one token takes in the KV cache over all attention layers.</summary>
    public static long KvBytesPerToken(GgufFile file, KvType typeK, KvType typeV)
    {
        int layers = (int)(file.Hyper("block_count") ?? 0);
        long width = file.Hyper("embedding_length") ?? 0;
        long heads = file.Hyper("attention.head_count") ?? file.GetArray($"{file.Architecture}.attention.head_count")?.Values.DefaultIfEmpty().Max() ?? 0;
        if (heads == 0)
            return 0;
        long keyLength = file.Hyper("attention.key_length") ?? width / heads;
        long valueLength = file.Hyper("attention.value_length") ?? width / heads;
        IReadOnlyList<long>? perLayer = file.GetArray($"{file.Architecture}.attention.head_count_kv")?.Values;
        long everyLayer = file.Hyper("attention.head_count_kv") ?? heads;
        // Qwen3-Next and its kin name the distance between attention layers instead of zeroing the others' head counts.
        long interval = file.Hyper("full_attention_interval") ?? (file.Architecture is "qwen3next" or "qwen35" or "qwen35moe" ? 4 : 1);
        long bytes = 0;
        for (int layer = 0; layer < layers; layer++)
        {
            if ((layer + 1) % interval != 0)
                continue;
            long headsKv = perLayer is null ? everyLayer : layer < perLayer.Count ? perLayer[layer] : 0;
            bytes += Bytes(headsKv * keyLength, typeK) + Bytes(headsKv * valueLength, typeV);
        }

        return bytes;
    }

    private static long Bytes(long elements, KvType type)
    {
        (int blockElements, int blockBytes) = GgufTensorTypes.BlockOf((GgufTensorType)type)!.Value;
        return (elements + blockElements - 1) / blockElements * blockBytes;
    }

    private static long[] LayerBytes(GgufFile file, int layers, out long outputBytes)
    {
        var bytes = new long[layers];
        long output = 0, embedding = 0;
        foreach (GgufTensor tensor in file.Tensors)
        {
            ReadOnlySpan<char> name = tensor.Name;
            if (name.StartsWith("blk.", StringComparison.Ordinal) && name[4..].IndexOf('.') is var dot and > 0
                && int.TryParse(name.Slice(4, dot), out int layer) && layer < layers)
                bytes[layer] += tensor.SizeBytes;
            else if (name.StartsWith("token_embd.", StringComparison.Ordinal))
                embedding = tensor.SizeBytes;
            else
                output += tensor.SizeBytes;
        }

        bool tied = file.Tensors.All(t => t.Name != "output.weight");
        outputBytes = output + (tied ? embedding : 0);
        return bytes;
    }
}
