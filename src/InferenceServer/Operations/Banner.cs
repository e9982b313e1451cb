using InferenceServer.Commands;
using InferenceServer.Llama;
using InferenceServer.Models;

namespace InferenceServer.Operations;

/// <summary>What the terminal shows once the server is ready.</summary>
internal static class Banner
{
    public static void Print(TextWriter output, string address, LoadedModel model, IReadOnlyList<ServedEmbedder> embedders, ServedEmbedder? judge, LlamaLibrary library, bool wantsKey)
    {
        output.WriteLine();
        output.WriteLine($"  InferenceServer {ServerVersion.Text} on {address}");
        output.WriteLine($"  model    {model.Served.Id}: {model.Model.Description.Replace("?B", $"{model.Model.ParameterCount / 1e6:F1}M", StringComparison.Ordinal)}, context {model.Served.ContextLength} tokens, "
            + $"KV pool {model.Served.Engine.Snapshot.CellsTotal} tokens");
        foreach (ServedEmbedder embedder in embedders)
            output.WriteLine($"  {(embedder.Ranking is null ? "embeds " : "ranks  ")}  {embedder.Id}: up to {embedder.MaxInputTokens} tokens{(embedder.Ranking is null ? $", {embedder.Dimensions} numbers" : "")}"
                + (embedder.SaysPooling ? "" : ", by the mean over the tokens, since its file does not say how it pools"));
        if (judge is not null)
            output.WriteLine($"  judges   {judge.Id}: {judge.Dimensions} classes, texts in pieces of {judge.MaxInputTokens} tokens");
        output.WriteLine($"  backend  {library.Description}, llama.cpp {library.Version} ({library.Reason})");
        if (model.Plan.GpuLayers > 0)
            output.WriteLine($"  memory   {string.Join(", ", model.Plan.Devices.Where(device => device.UsedBytes > 0).Select(device => $"{device.Name}: {ByteText.Of(device.UsedBytes)}{(device.Type is LlamaDeviceType.Cpu ? "" : $" of {ByteText.Of(device.FreeBytes)}, {device.Layers} of {model.Plan.LayerCount} layers")}"))}");
        foreach (string note in model.Notes)
            output.WriteLine($"  note     {note}");
        output.WriteLine($"  chat     {address}/   docs  {address}/docs   metrics  {address}/metrics");
        output.WriteLine();
        output.WriteLine("  Try it:");
        output.WriteLine($"  curl -N {address}/v1/chat/completions -H 'content-type: application/json' {(wantsKey ? "-H 'authorization: Bearer YOUR_KEY' " : "")}"
            + $"-d '{{\"model\":\"{model.Served.Id}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'");
        output.WriteLine();
        output.Flush();
    }
}
