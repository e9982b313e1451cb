using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.Adapters;

/// <summary>A LoRA adapter in the answer of GET /lora-adapters, in llama.cpp's words.</summary>
public sealed record AdapterDescription(
    [property: Description("Its number, which stays while it is loaded.")] int Id,
    [property: Description("Requests for model:name are computed with it.")] string Name,
    [property: Description("The model that it changes.")] string Model,
    [property: Description("Its file, without the folder.")] string Path,
    [property: Description("How much it counts in requests that name the model alone; 0 for not at all.")] float Scale,
    [property: Description("How much it counts in requests that name it as their model.")] float OwnScale,
    int Rank, float Alpha);

/// <summary>The answer of POST /lora-adapters.</summary>
public sealed record AdaptersScaled(bool Success);

/// <summary>The body of POST /v1/load_lora_adapter, in vLLM's words.</summary>
public sealed record AdapterLoadRequest(
    [property: Description("1 to 64 letters, digits, dots, dashes and underscores.")] string LoraName,
    [property: Description("A GGUF file on the server's machine.")] string LoraPath)
{
    [Description("Extra: how much it counts where a request names it as its model.")]
    [Range(-100, 100)]
    public float Scale { get; init; } = 1;

    [Description("Extra: the model that it changes; not needed where one is loaded.")]
    public string? Model { get; init; }
}

/// <summary>The body of POST /v1/unload_lora_adapter, in vLLM's words.</summary>
public sealed record AdapterUnloadRequest(
    [property: Description("The name that it was loaded under.")] string LoraName)
{
    [Description("Extra: the model that it changes; not needed where one is loaded.")]
    public string? Model { get; init; }
}

/// <summary>What these endpoints send and receive.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(IReadOnlyList<AdapterDescription>))]
[JsonSerializable(typeof(IReadOnlyList<AdapterSelection>))]
[JsonSerializable(typeof(AdaptersScaled))]
[JsonSerializable(typeof(AdapterLoadRequest))]
[JsonSerializable(typeof(AdapterUnloadRequest))]
internal sealed partial class AdapterJson : JsonSerializerContext
{
    public static AdapterJson Wire { get; } = new(WireJson.Options());
}
