using System.Collections.Frozen;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>How a reply is generated: sampling, limits, and whose it is. Ranges are checked by whoever reads the request.</summary>
public sealed record GenerationOptions
{
    /// <summary>Null generates until the context is full.</summary>
    public int? MaxOutputTokens { get; init; }

    /// <summary>Texts that end a reply and are no part of it.</summary>
    public IReadOnlyList<string> StopSequences { get; init; } = [];

    /// <summary>How many replies to generate; the prompt is computed once.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>Null takes one by chance.</summary>
    public long? Seed { get; init; }

    /// <summary>The numbers that shape a draw. What needs the vocabulary, the seed and the report are filled in from the other members here.</summary>
    public SamplingOptions Sampling { get; init; } = SamplingOptions.Default;

    /// <summary>Names of <see cref="SamplingFields"/> that whoever asks has set; the defaults of a model leave these as they are.</summary>
    public IReadOnlySet<string> Given { get; init; } = FrozenSet<string>.Empty;

    /// <summary>DRY's breakers are the tokens that hold one of these texts.</summary>
    public IReadOnlyList<string> DryBreakers { get; init; } = [];

    /// <summary>Token id to what is added to its logit.</summary>
    public IReadOnlyDictionary<int, float>? LogitBias { get; init; }

    /// <summary>What the whole reply must obey; null for anything.</summary>
    public ConstraintSource? Constraint { get; init; }

    /// <summary>The LoRA adapters that it is computed with; null for those of the model that it names.</summary>
    public IReadOnlyList<AdapterChoice>? Adapters { get; init; }

    /// <summary>Go on after a token that ends a reply.</summary>
    public bool IgnoreEndOfGeneration { get; init; }

    /// <summary>Report the log probability of every token, with this many of the most likely; null reports none.</summary>
    public int? TopLogprobs { get; init; }

    public RequestPriority Priority { get; init; }

    /// <summary>Counted from submission; null for none.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Names a session whose cached prefix is kept longer; null for none.</summary>
    public string? Session { get; init; }

    /// <summary>Cached prefixes are shared within it only.</summary>
    public string CacheNamespace { get; init; } = "";

    /// <summary>Who takes turns with whom.</summary>
    public string FairnessKey { get; init; } = "";

    /// <summary>As the client said it: a part of <see cref="CacheNamespace"/>.</summary>
    public string? CacheSalt { get; init; }

    /// <summary>As the client said it: <see cref="FairnessKey"/>, where nothing else tells callers apart.</summary>
    public string? User { get; init; }

    /// <summary>What is not asked for as the model's owner set it.</summary>
    internal GenerationOptions Over(ModelSettings settings)
    {
        if (ReferenceEquals(settings, ModelSettings.None))
            return this;
        SamplingOptions sampling = Sampling;
        foreach ((SamplingField field, double value) in settings.Sampling)
            if (!Given.Contains(field.Name))
                sampling = field.Set(sampling, value);
        return this with
        {
            Sampling = sampling,
            MaxOutputTokens = MaxOutputTokens ?? settings.MaxOutputTokens,
            StopSequences = StopSequences.Count > 0 ? StopSequences : settings.StopSequences,
            Seed = Seed ?? settings.Seed,
        };
    }
}

/// <summary>An adapter as a request names it: by its number, or else by its name.</summary>
public sealed record AdapterChoice(int? Id, string? Name, float Scale);
