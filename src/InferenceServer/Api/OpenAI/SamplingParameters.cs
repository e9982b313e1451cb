using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Api.OpenAI;

/// <summary>Sampling and adapters beyond OpenAI's fields, as every body that generates takes it, for the OpenAPI document; <see cref="ParameterReader"/> reads it.</summary>
public abstract record SamplingParameters
{
    [Description("Extra: drop tokens less likely than this share of the most likely one.")]
    [Range(0, 1)]
    public float MinP { get; init; }

    [Description("Extra: locally typical sampling; 1 keeps all.")]
    [Range(0, 1)]
    public float TypicalP { get; init; } = 1;

    [Description("Extra: keep the tokens whose logits are within so many standard deviations of the largest one; 0 and -1 keep all.")]
    [Range(-1, 100)]
    public float TopNSigma { get; init; }

    [Description("Extra: how often the likeliest tokens are excluded; 0 for never.")]
    [Range(0, 1)]
    public float XtcProbability { get; init; }

    [Description("Extra: of the tokens at least as likely only the least likely stays, as often as xtc_probability says.")]
    [Range(0, 1)]
    public float XtcThreshold { get; init; } = 0.1f;

    [Description("Extra: DRY holds back tokens that would repeat a sequence, by this much for the first beyond dry_allowed_length; 0 for not at all.")]
    [Range(0, 100)]
    public float DryMultiplier { get; init; }

    [Description("Extra: by how much DRY's penalty grows with each token of the repetition.")]
    [Range(1, 100)]
    public float DryBase { get; init; } = 1.75f;

    [Description("Extra: tokens that may be repeated freely.")]
    [Range(0, 1_000_000)]
    public int DryAllowedLength { get; init; } = 2;

    [Description("Extra: how many tokens back DRY looks; -1 for all.")]
    [Range(-1, int.MaxValue)]
    public int DryPenaltyLastN { get; init; } = -1;

    [Description("Extra: texts across which nothing is a repetition, up to 32. Default: a line break, a colon, a quote and an asterisk.")]
    public IReadOnlyList<string>? DrySequenceBreakers { get; init; }

    [Description("Extra: divides positive and multiplies negative logits of tokens seen so far; 1 changes nothing.")]
    [Range(0.01, 100)]
    public float RepetitionPenalty { get; init; } = 1;

    [Description("Extra: the LoRA adapters that the reply is computed with, instead of those of the model named; none if it is empty.")]
    public IReadOnlyList<AdapterSelection>? Lora { get; init; }
}

/// <summary>A LoRA adapter, and how much it counts.</summary>
public sealed record AdapterSelection
{
    [Description("The adapter's number, as /lora-adapters lists it; this or name.")]
    [Range(0, int.MaxValue)]
    public int? Id { get; init; }

    [Description("The adapter's name, without the model's.")]
    public string? Name { get; init; }

    [Description("How much it counts.")]
    [Range(-100, 100)]
    public float Scale { get; init; } = 1;
}
