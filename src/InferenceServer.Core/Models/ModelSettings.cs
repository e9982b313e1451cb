using InferenceServer.Chat;

namespace InferenceServer.Models;

/// <summary>What a model's owner set for requests that say nothing else. Immutable.</summary>
public sealed record ModelSettings
{
    public static ModelSettings None { get; } = new();

    /// <summary>A system message for conversations that bring none; null for none.</summary>
    public string? System { get; init; }

    /// <summary>Null generates until the context is full.</summary>
    public int? MaxOutputTokens { get; init; }

    /// <summary>Texts that end a reply and are no part of it.</summary>
    public IReadOnlyList<string> StopSequences { get; init; } = [];

    /// <summary>Null takes one by chance.</summary>
    public long? Seed { get; init; }

    /// <summary>In the place of a dialect's defaults.</summary>
    internal IReadOnlyList<(SamplingField Field, double Value)> Sampling { get; init; } = [];

    /// <summary>These, and where they say nothing what <paramref name="others"/> says.</summary>
    internal ModelSettings Over(ModelSettings others) => new()
    {
        System = System ?? others.System,
        MaxOutputTokens = MaxOutputTokens ?? others.MaxOutputTokens,
        StopSequences = StopSequences.Count > 0 ? StopSequences : others.StopSequences,
        Seed = Seed ?? others.Seed,
        Sampling = [.. others.Sampling.Where(other => !Sampling.Any(own => own.Field == other.Field)), .. Sampling],
    };
}
