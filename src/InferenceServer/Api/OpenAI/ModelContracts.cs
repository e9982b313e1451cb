using System.ComponentModel;

namespace InferenceServer.Api.OpenAI;

/// <summary>The answer of GET /v1/models.</summary>
public sealed record ModelList(string Object, IReadOnlyList<ModelDescription> Data);

public sealed record ModelDescription(
    string Id, string Object, long Created, string OwnedBy,
    [property: Description("Extra: most tokens of one conversation, prompt and reply together.")] int ContextLength)
{
    [Description("Extra: whether it answers now. Others are in the library, and are loaded when a request names them.")]
    public bool Loaded { get; init; } = true;

    [Description("Extra: the model that this is with a LoRA adapter, or itself.")]
    public string? Root { get; init; }

    [Description("Extra: of a model with a LoRA adapter the model without it.")]
    public string? Parent { get; init; }
}
