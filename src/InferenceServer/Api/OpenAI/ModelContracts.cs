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

    [Description("Extra: loaded, loading, making-room (it takes no new requests), unloading or unloaded.")]
    public string State { get; init; } = "loaded";

    [Description("Extra: bytes of its weights; null where they are not known.")]
    public long? SizeBytes { get; init; }

    [Description("Extra: what it can do: completion, tools, thinking, insert, embedding, rerank. What a model does with tools is known once it is loaded.")]
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    [Description("Extra: other names of it.")]
    public IReadOnlyList<string> Aliases { get; init; } = [];

    [Description("Extra: whether it stays loaded, whichever other model needs the room.")]
    public bool Pinned { get; init; }

    [Description("Extra: the model that this is with a LoRA adapter, or itself.")]
    public string Root { get; init; } = "";

    [Description("Extra: of a model with a LoRA adapter the model without it.")]
    public string? Parent { get; init; }
}
