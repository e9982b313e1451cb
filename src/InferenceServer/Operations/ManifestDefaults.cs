using System.Globalization;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Library;
using InferenceServer.Models;

namespace InferenceServer.Operations;

/// <summary>What a model of the library says of its own defaults: SYSTEM and PARAMETER of a Modelfile.</summary>
internal static class ManifestDefaults
{
    private const int MostStops = 16;

    /// <summary>Options of the load; the pool is shared by all sequences, so that <c>num_ctx</c> says nothing here.</summary>
    public static ModelOptions Options(ModelManifest manifest, ModelOptions options) => options with
    {
        GpuLayers = options.GpuLayers ?? Whole(manifest, "num_gpu", 0, 10_000),
        Threads = options.Threads ?? Whole(manifest, "num_thread", 1, 1024),
    };

    /// <param name="notes">Gains a line that names what is not applied.</param>
    public static ModelSettings Settings(ModelManifest manifest, List<string> notes)
    {
        List<(SamplingField, double)> sampling = [];
        ModelSettings settings = new() { System = manifest.System };
        List<string> left = [];
        foreach ((string name, JsonElement value) in manifest.Parameters)
        {
            if (SamplingFields.Find(name is "repeat_penalty" ? SamplingFields.RepetitionPenalty : name) is { } field)
            {
                if (value.ValueKind == JsonValueKind.Number && value.GetDouble() is var number && number >= field.Least && number <= field.Most && (!field.IsWhole || double.IsInteger(number)))
                    sampling.Add((field, number));
                else
                    left.Add(name);
            }
            else if (name == "stop" && Texts(value) is { Count: <= MostStops } stops)
                settings = settings with { StopSequences = stops };
            else if (name == "num_predict" && Whole(manifest, name, -2, int.MaxValue) is { } most)
                settings = settings with { MaxOutputTokens = most > 0 ? most : null };
            else if (name == "seed" && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long seed))
                settings = settings with { Seed = seed };
            else if (name is not ("num_ctx" or "num_gpu" or "num_thread"))
                left.Add(name);
        }

        if (left.Count > 0)
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"these parameters of '{ModelName.Parse(manifest.Name).Display}' are not applied: {string.Join(", ", left.Order(StringComparer.Ordinal))}"));
        return settings with { Sampling = sampling };
    }

    private static int? Whole(ModelManifest manifest, string name, int least, int most) =>
        manifest.Parameters.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least && number <= most ? number : null;

    private static List<string>? Texts(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => [value.GetString()!],
        JsonValueKind.Array when value.EnumerateArray().All(one => one.ValueKind == JsonValueKind.String) => [.. value.EnumerateArray().Select(one => one.GetString()!)],
        _ => null,
    };
}
