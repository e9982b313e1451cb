using System.Globalization;
using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;
using Microsoft.OpenApi;

namespace InferenceServer.Api;

/// <summary>Reads <see cref="SamplingFields"/> from a body, and describes them.</summary>
internal static class SamplingReader
{
    private const int MaxBreakers = 32;

    // llama.cpp's.
    private static readonly string[] DefaultDryBreakers = ["\n", ":", "\"", "*"];

    /// <summary>What Mirostat makes void, whatever a dialect calls it.</summary>
    private static readonly string[] VoidBesideMirostat =
    [
        .. SamplingFields.All.Select(field => field.Name).Where(name => name != SamplingFields.Temperature && !name.StartsWith("mirostat", StringComparison.Ordinal)),
        "repeat_penalty", "dry_sequence_breakers",
    ];

    /// <summary>Takes the fields that are there; the others are left as <paramref name="defaults"/> has them, unless the model has defaults of its own.</summary>
    /// <param name="mostTemperature">The dialect's largest temperature.</param>
    /// <param name="ignored">Receives the paths of those that have no effect beside others.</param>
    /// <param name="names">Those that the dialect has; none for all.</param>
    public static GenerationOptions Read(JsonFields body, GenerationOptions options, SamplingOptions defaults, double mostTemperature, List<string> ignored, params ReadOnlySpan<string> names)
    {
        SamplingOptions read = defaults;
        HashSet<string> given = [.. options.Given];
        foreach (SamplingField field in SamplingFields.All)
            if ((names.IsEmpty || names.Contains(field.Name)) && body.Take(field.Name) is { } value)
            {
                string path = body.PathOf(field.Name);
                double most = field.Name == SamplingFields.Temperature ? mostTemperature : field.Most;
                read = field.Set(read, field.IsWhole ? JsonValue.Integer(value, path, (long)field.Least, (long)most) : JsonValue.Number(value, path, field.Least, most));
                given.Add(field.Name);
            }
        if (read.Mirostat > 0)
            ignored.AddRange(VoidBesideMirostat.Where(name => body.Take(name) is not null).Select(body.PathOf));
        return options with { Sampling = read, Given = given, DryBreakers = names.IsEmpty ? ReadBreakers(body) : [] };
    }

    /// <summary>Takes <c>repeat_penalty</c> and <c>repeat_last_n</c>, as Ollama and llama.cpp call them.</summary>
    public static GenerationOptions ReadRepeatPenalty(JsonFields options, GenerationOptions read)
    {
        float? given = options.Number("repeat_penalty", 0.01, 100);
        float penalty = given ?? read.Sampling.RepetitionPenalty;
        int? last = options.Integer("repeat_last_n", -1, int.MaxValue);
        if (last is not (null or -1 or 0) && penalty != 1)
            throw RequestProblem.Unsupported(options.PathOf("repeat_last_n"), "penalties look at all tokens so far (-1), or at none (0).");
        return given is null && last is null ? read : read with
        {
            Sampling = read.Sampling with { RepetitionPenalty = last == 0 ? 1 : penalty },
            Given = new HashSet<string>(read.Given) { SamplingFields.RepetitionPenalty },
        };
    }

    private static IReadOnlyList<string> ReadBreakers(JsonFields body)
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
        foreach (SamplingField field in SamplingFields.All)
            body.Properties.TryAdd(field.Name, new OpenApiSchema
            {
                Type = field.IsWhole ? JsonSchemaType.Integer : JsonSchemaType.Number,
                Format = field.IsWhole ? "int32" : "float",
                Minimum = field.Least.ToString(CultureInfo.InvariantCulture),
                Maximum = field.Most.ToString(CultureInfo.InvariantCulture),
                Description = $"Extra: {field.Description}",
            });
    }
}
