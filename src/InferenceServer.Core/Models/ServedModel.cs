using InferenceServer.Chat;
using InferenceServer.Engine;

namespace InferenceServer.Models;

/// <summary>A loaded model as the API sees it: how to make tokens of a request, and where to send them. Immutable; safe from any thread.</summary>
public sealed record ServedModel
{
    /// <summary>What clients put into <c>model</c>.</summary>
    public required string Id { get; init; }

    public required DateTimeOffset Created { get; init; }

    /// <summary>Changes whenever build or model do; OpenAI's <c>system_fingerprint</c>.</summary>
    public required string Fingerprint { get; init; }

    public required ServedVocabulary Vocabulary { get; init; }

    public required IInferenceEngine Engine { get; init; }

    /// <summary>Most tokens of a prompt and its reply: what the pool holds, and no more than the model was trained on; beyond that it only rambles.</summary>
    public required int ContextLength { get; init; }

    public required ChatRenderer Chat { get; init; }

    public required ServedConstraints Constraints { get; init; }

    /// <summary>What its owner set, as it is now: it may change while the model runs.</summary>
    public Func<ModelSettings> Settings { get; init; } = () => ModelSettings.None;

    public ServedReplies Replies { get; init; } = ServedReplies.Plain;

    public ServedModelFile File { get; init; } = ServedModelFile.None;

    /// <summary>What it can do, in Ollama's words.</summary>
    public IReadOnlyList<string> Capabilities
    {
        get
        {
            List<string> capabilities = ["completion"];
            if (Replies.Format.Calls.Count > 0)
                capabilities.Add("tools");
            if (Replies.Format.Reasoning is not null)
                capabilities.Add("thinking");
            if (Vocabulary.Middle is not null)
                capabilities.Add("insert");
            return capabilities;
        }
    }

    /// <summary>The LoRA adapters that requests can choose among.</summary>
    public ServedAdapters Adapters { get; init; } = new(null);

    /// <summary>The model that this is with <see cref="Adapter"/>; null where it is one itself.</summary>
    public ServedModel? Parent { get; private init; }

    public ServedAdapter? Adapter { get; private init; }

    /// <summary>What requests that choose no adapters are computed with.</summary>
    public AdapterSet Applied => Adapter?.Alone ?? Adapters.Default;

    /// <summary>This model with one of its adapters, as a model of its own.</summary>
    public ServedModel With(ServedAdapter adapter) => this with
    {
        Id = $"{Id}:{adapter.Name}",
        Parent = this,
        Adapter = adapter,
        File = File with { Digest = adapter.Loaded.File.Identity, SizeBytes = File.SizeBytes + adapter.Loaded.File.SizeBytes },
    };
}
