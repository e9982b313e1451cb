using InferenceServer.Engine.Sampling;

namespace InferenceServer.Chat;

/// <summary>A number that shapes how tokens are drawn: every body of a request has it by this name, and so have the defaults of a model.</summary>
/// <param name="Least">The smallest value that is taken; <paramref name="Most"/> is the largest.</param>
/// <param name="IsWhole">Only whole numbers are taken.</param>
internal sealed record SamplingField(string Name, double Least, double Most, string Description, Func<SamplingOptions, double> Get, Func<SamplingOptions, double, SamplingOptions> Set, bool IsWhole);

/// <summary>What shapes how tokens are drawn. A line here is all that the dialects and the defaults of models need: it is read, checked, described and tested from it.</summary>
internal static class SamplingFields
{
    public const string Temperature = "temperature";

    // A request that sets it, by whatever name, leaves nothing of a model's default.
    public const string RepetitionPenalty = "repetition_penalty";

    public static IReadOnlyList<SamplingField> All { get; } =
    [
        Number(Temperature, 0, 100, "0 takes the most likely token; 1 leaves the model's distribution as it is.", s => s.Temperature, (s, t) => s with { Temperature = t }),
        Number("top_p", 0, 1, "keep the fewest tokens whose probabilities reach this sum.", s => s.TopP, (s, p) => s with { TopP = p }),
        Number("presence_penalty", -2, 2, "subtracted once from the logit of every token generated so far.", s => s.PresencePenalty, (s, x) => s with { PresencePenalty = x }),
        Number("frequency_penalty", -2, 2, "subtracted from the logit of a token for each time it was generated.", s => s.FrequencyPenalty, (s, x) => s with { FrequencyPenalty = x }),
        Whole("top_k", 0, int.MaxValue, "keep the K most likely tokens; 0 keeps all.", s => s.TopK, (s, k) => s with { TopK = k }),
        Number("min_p", 0, 1, "drop tokens less likely than this share of the most likely one.", s => s.MinP, (s, p) => s with { MinP = p }),
        Number("typical_p", 0, 1, "locally typical sampling; 1 keeps all.", s => s.TypicalP, (s, p) => s with { TypicalP = p }),
        // llama.cpp writes -1 for none.
        Number("top_n_sigma", -1, 100, "keep the tokens whose logits are within so many standard deviations of the largest one; 0 and -1 keep all.", s => s.TopNSigma, (s, n) => s with { TopNSigma = Math.Max(n, 0) }),
        Number("xtc_probability", 0, 1, "how often the likeliest tokens are excluded; 0 for never.", s => s.XtcProbability, (s, p) => s with { XtcProbability = p }),
        Number("xtc_threshold", 0, 1, "of the tokens at least as likely only the least likely stays, as often as xtc_probability says.", s => s.XtcThreshold, (s, p) => s with { XtcThreshold = p }),
        Number("dynatemp_range", 0, 100, "how far the temperature goes below and above temperature, by the entropy of the tokens that are left; 0 leaves it as it is.", s => s.DynamicTemperatureRange, (s, x) => s with { DynamicTemperatureRange = x }),
        Number("dynatemp_exponent", 0.01, 100, "the entropy's share of the most that there can be, to this power, says how far dynatemp_range goes.", s => s.DynamicTemperatureExponent, (s, x) => s with { DynamicTemperatureExponent = x }),
        Whole("mirostat", 0, 2, "steer the reply's surprise by this version of Mirostat, in the place of penalties, DRY and whatever drops tokens; 0 does not.", s => s.Mirostat, (s, n) => s with { Mirostat = n }),
        Number("mirostat_tau", 0, 100, "the surprise that Mirostat steers to, in bits a token.", s => s.MirostatTau, (s, x) => s with { MirostatTau = x }),
        Number("mirostat_eta", 0, 10, "how much of a token's distance from mirostat_tau is corrected at once.", s => s.MirostatEta, (s, x) => s with { MirostatEta = x }),
        Number("dry_multiplier", 0, 100, "DRY holds back tokens that would repeat a sequence, by this much for the first beyond dry_allowed_length; 0 for not at all.", s => s.Dry.Multiplier, (s, x) => s with { Dry = s.Dry with { Multiplier = x } }),
        Number("dry_base", 1, 100, "by how much DRY's penalty grows with each token of the repetition.", s => s.Dry.Base, (s, x) => s with { Dry = s.Dry with { Base = x } }),
        Whole("dry_allowed_length", 0, 1_000_000, "tokens that may be repeated freely.", s => s.Dry.AllowedLength, (s, n) => s with { Dry = s.Dry with { AllowedLength = n } }),
        Whole("dry_penalty_last_n", -1, int.MaxValue, "how many tokens back DRY looks; -1 for all.", s => s.Dry.LastTokens, (s, n) => s with { Dry = s.Dry with { LastTokens = n } }),
        Number(RepetitionPenalty, 0.01, 100, "divides positive and multiplies negative logits of tokens seen so far; 1 changes nothing.", s => s.RepetitionPenalty, (s, x) => s with { RepetitionPenalty = x }),
    ];

    /// <summary>The field of a name; null where there is none.</summary>
    public static SamplingField? Find(string name) => All.FirstOrDefault(field => field.Name == name);

    private static SamplingField Number(string name, double least, double most, string description, Func<SamplingOptions, float> get, Func<SamplingOptions, float, SamplingOptions> set) =>
        new(name, least, most, description, options => get(options), (options, value) => set(options, (float)value), IsWhole: false);

    private static SamplingField Whole(string name, int least, int most, string description, Func<SamplingOptions, int> get, Func<SamplingOptions, int, SamplingOptions> set) =>
        new(name, least, most, description, options => get(options), (options, value) => set(options, (int)value), IsWhole: true);
}
