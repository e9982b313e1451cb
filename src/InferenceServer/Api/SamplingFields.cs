using System.Globalization;
using InferenceServer.Engine.Sampling;
using Microsoft.OpenApi;

namespace InferenceServer.Api;

/// <summary>A number that shapes how tokens are drawn, as every body takes it that has <see cref="SamplingParameters"/>.</summary>
/// <param name="Least">The smallest value that is taken; <paramref name="Most"/> is the largest.</param>
/// <param name="IsWhole">Only whole numbers are taken.</param>
internal sealed record SamplingField(string Name, double Least, double Most, string Description, Func<SamplingOptions, double> Get, Func<SamplingOptions, double, SamplingOptions> Set, bool IsWhole);

/// <summary>Sampling beyond OpenAI's fields. A line here is all that the dialects need: it is read, checked, described and tested from it.</summary>
internal static class SamplingFields
{
    private const int MaxBreakers = 32;

    // llama.cpp's.
    private static readonly string[] DefaultDryBreakers = ["\n", ":", "\"", "*"];

    public static IReadOnlyList<SamplingField> All { get; } =
    [
        Whole("top_k", 0, int.MaxValue, "keep the K most likely tokens; 0 keeps all.", s => s.TopK, (s, k) => s with { TopK = k }),
        Number("min_p", 0, 1, "drop tokens less likely than this share of the most likely one.", s => s.MinP, (s, p) => s with { MinP = p }),
        Number("typical_p", 0, 1, "locally typical sampling; 1 keeps all.", s => s.TypicalP, (s, p) => s with { TypicalP = p }),
        // llama.cpp writes -1 for none.
        Number("top_n_sigma", -1, 100, "keep the tokens whose logits are within so many standard deviations of the largest one; 0 and -1 keep all.", s => s.TopNSigma, (s, n) => s with { TopNSigma = Math.Max(n, 0) }),
        Number("xtc_probability", 0, 1, "how often the likeliest tokens are excluded; 0 for never.", s => s.XtcProbability, (s, p) => s with { XtcProbability = p }),
        Number("xtc_threshold", 0, 1, "of the tokens at least as likely only the least likely stays, as often as xtc_probability says.", s => s.XtcThreshold, (s, p) => s with { XtcThreshold = p }),
        Number("dynatemp_range", 0, 100, "how far the temperature goes below and above temperature, by the entropy of the tokens that are left; 0 leaves it as it is.", s => s.DynamicTemperatureRange, (s, x) => s with { DynamicTemperatureRange = x }),
        Number("dynatemp_exponent", 0.01, 100, "the entropy's share of the most that there can be, to this power, says how far dynatemp_range goes.", s => s.DynamicTemperatureExponent, (s, x) => s with { DynamicTemperatureExponent = x }),
        Number("dry_multiplier", 0, 100, "DRY holds back tokens that would repeat a sequence, by this much for the first beyond dry_allowed_length; 0 for not at all.", s => s.Dry.Multiplier, (s, x) => s with { Dry = s.Dry with { Multiplier = x } }),
        Number("dry_base", 1, 100, "by how much DRY's penalty grows with each token of the repetition.", s => s.Dry.Base, (s, x) => s with { Dry = s.Dry with { Base = x } }),
        Whole("dry_allowed_length", 0, 1_000_000, "tokens that may be repeated freely.", s => s.Dry.AllowedLength, (s, n) => s with { Dry = s.Dry with { AllowedLength = n } }),
        Whole("dry_penalty_last_n", -1, int.MaxValue, "how many tokens back DRY looks; -1 for all.", s => s.Dry.LastTokens, (s, n) => s with { Dry = s.Dry with { LastTokens = n } }),
        Number("repetition_penalty", 0.01, 100, "divides positive and multiplies negative logits of tokens seen so far; 1 changes nothing.", s => s.RepetitionPenalty, (s, x) => s with { RepetitionPenalty = x }),
    ];

    /// <summary>Takes the fields that are there; the others are left as <paramref name="defaults"/> has them.</summary>
    public static SamplingOptions Read(JsonFields body, SamplingOptions defaults)
    {
        SamplingOptions read = defaults;
        foreach (SamplingField field in All)
            if (body.Take(field.Name) is { } value)
            {
                string path = body.PathOf(field.Name);
                read = field.Set(read, field.IsWhole ? JsonValue.Integer(value, path, (long)field.Least, (long)field.Most) : JsonValue.Number(value, path, field.Least, field.Most));
            }
        return read;
    }

    /// <summary>Takes <c>dry_sequence_breakers</c>.</summary>
    public static IReadOnlyList<string> ReadBreakers(JsonFields body)
    {
        if (body.Take("dry_sequence_breakers") is not { } texts)
            return DefaultDryBreakers;
        List<string> breakers = JsonFields.Items(texts, body.PathOf("dry_sequence_breakers"), 0, MaxBreakers).ConvertAll(item => StopReader.Text(item.Value, item.Path));
        breakers.RemoveAll(text => text.Length == 0);
        return breakers;
    }

    /// <summary>Adds the fields to a body's description, but for those that its dialect describes itself.</summary>
    public static void Describe(OpenApiSchema body)
    {
        body.Properties ??= new Dictionary<string, IOpenApiSchema>();
        foreach (SamplingField field in All)
            body.Properties.TryAdd(field.Name, new OpenApiSchema
            {
                Type = field.IsWhole ? JsonSchemaType.Integer : JsonSchemaType.Number,
                Format = field.IsWhole ? "int32" : "float",
                Minimum = field.Least.ToString(CultureInfo.InvariantCulture),
                Maximum = field.Most.ToString(CultureInfo.InvariantCulture),
                Description = $"Extra: {field.Description}",
            });
    }

    private static SamplingField Number(string name, double least, double most, string description, Func<SamplingOptions, float> get, Func<SamplingOptions, float, SamplingOptions> set) =>
        new(name, least, most, description, options => get(options), (options, value) => set(options, (float)value), IsWhole: false);

    private static SamplingField Whole(string name, int least, int most, string description, Func<SamplingOptions, int> get, Func<SamplingOptions, int, SamplingOptions> set) =>
        new(name, least, most, description, options => get(options), (options, value) => set(options, (int)value), IsWhole: true);
}
