namespace InferenceServer.Engine.Sampling;

/// <summary>How the next token is drawn. The defaults are OpenAI's: the model's own distribution, untouched.</summary>
public sealed record SamplingOptions
{
    public static SamplingOptions Default { get; } = new();

    public static SamplingOptions Greedy { get; } = new() { Temperature = 0 };

    /// <summary>0 takes the most likely token; 1 leaves the distribution as it is. 0 to 2.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Keep the K most likely tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keep the fewest tokens whose probabilities reach this sum; 1 keeps all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Drop tokens less likely than this share of the most likely one; 0 drops none.</summary>
    public float MinP { get; init; }

    /// <summary>Locally typical sampling: keep tokens of near-average surprise up to this sum; 1 keeps all.</summary>
    public float TypicalP { get; init; } = 1;

    /// <summary>Keep the tokens whose logits are within so many standard deviations of the largest one; 0 keeps all.</summary>
    public float TopNSigma { get; init; }

    /// <summary>How often the likeliest tokens are excluded (XTC): of those at least as likely as <see cref="XtcThreshold"/> only the least likely stays. 0 for never.</summary>
    public float XtcProbability { get; init; }

    /// <summary>Above 0.5 no two tokens are that likely, and nothing is excluded.</summary>
    public float XtcThreshold { get; init; } = 0.1f;

    /// <summary>How far the temperature goes below and above <see cref="Temperature"/>, by the entropy of the tokens that are left; 0 leaves it as it is.</summary>
    public float DynamicTemperatureRange { get; init; }

    /// <summary>The entropy's share of the most that there can be, to this power, says how far. Above 0.</summary>
    public float DynamicTemperatureExponent { get; init; } = 1;

    /// <summary>1 or 2 steers the reply's surprise by that version of Mirostat, in the place of penalties, DRY and all truncations; 0 does not.</summary>
    public int Mirostat { get; init; }

    /// <summary>The surprise that Mirostat steers to, in bits a token.</summary>
    public float MirostatTau { get; init; } = 5;

    /// <summary>How much of a token's distance from <see cref="MirostatTau"/> is corrected at once.</summary>
    public float MirostatEta { get; init; } = 0.1f;

    /// <summary>Subtracted once from the logit of every token generated so far. -2 to 2.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted from the logit of a token for each time it was generated. -2 to 2.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens seen in prompt or reply; 1 changes nothing.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Holds repeated sequences back.</summary>
    public DryOptions Dry { get; init; } = DryOptions.Off;

    /// <summary>Added to the logits before anything else; -100 bans a token in effect.</summary>
    public IReadOnlyList<KeyValuePair<int, float>> LogitBias { get; init; } = [];

    /// <summary>Same seed and same request alone: same text. Null draws a fresh seed.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Null reports no log probabilities; 0 reports the taken token's; N also the N most likely.</summary>
    public int? TopLogprobs { get; init; }
}
