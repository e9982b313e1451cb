using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Llama;

/// <summary>Writes LoRA adapters for tiny models of the architecture llama. Another seed changes the replies otherwise.</summary>
internal static class TinyAdapter
{
    public static readonly (string Name, long Columns, long Rows)[] Weights =
        [.. Enumerable.Range(0, 2).SelectMany(layer => new[] { ($"blk.{layer}.attn_q.weight", 64L, 64L), ($"blk.{layer}.attn_v.weight", 64L, 32L), ($"blk.{layer}.ffn_down.weight", 128L, 64L) })];

    public static string Write(string path, int seed = 1, int rank = 4, float alpha = 8) =>
        Write(path, Weights, seed, rank, metadata: writer => writer.Add("adapter.lora.alpha", alpha));

    /// <param name="metadata">What it says of itself besides being an adapter.</param>
    /// <param name="rankB">Another rank for the second halves: they do not fit then.</param>
    public static string Write(
        string path, IEnumerable<(string Name, long Columns, long Rows)> weights, int seed = 1, int rank = 4, int? rankB = null, string architecture = "llama",
        string type = "adapter", string adapterType = "lora", Action<GgufWriter>? metadata = null)
    {
        using var writer = GgufWriter.Create(path, architecture);
        writer.Add("general.type", type);
        writer.Add("adapter.type", adapterType);
        metadata?.Invoke(writer);
        SeededWeights values = new(writer, seed, GgufTensorType.F32);
        foreach ((string name, long columns, long rows) in weights)
        {
            values.Matrix($"{name}.lora_a", columns, rank, 0.15f);
            values.Matrix($"{name}.lora_b", rankB ?? rank, rows, 0.15f);
        }

        values.Fill(progress: null, CancellationToken.None);
        writer.Finish();
        return path;
    }
}
