using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Llama;
using InferenceServer.Models;

namespace InferenceServer.Api;

/// <summary>Reads lists of LoRA adapters with their scales, as llama.cpp's clients write them; they may be named, too.</summary>
internal static class AdapterReader
{
    /// <summary>Takes the field; null where it is absent.</summary>
    public static List<AdapterChoice>? Read(JsonFields body, string name, List<string> ignored) =>
        body.Array(name, 0, LlamaAdapter.MostAtOnce)?.ConvertAll(item => Read(item.Value, item.Path, ignored));

    /// <summary>A body that is such a list.</summary>
    public static List<AdapterChoice> ReadBody(JsonElement root, List<string> ignored) =>
        JsonFields.Items(root, "", 0, ServedAdapters.MostLoaded).ConvertAll(item => Read(item.Value, item.Path, ignored));

    private static AdapterChoice Read(JsonElement value, string path, List<string> ignored)
    {
        JsonFields adapter = new(value, path);
        int? id = adapter.Integer("id", 0, int.MaxValue);
        string? name = adapter.String("name");
        if (id is null && name is null)
            throw JsonFields.Missing(adapter.PathOf("id"));
        if (id is not null && name is not null)
            throw RequestProblem.Invalid("{where} cannot be given beside 'id': one of them says which adapter is meant.", adapter.PathOf("name"), "invalid_value");
        float scale = adapter.Number("scale", -AdapterOptions.MostScale, AdapterOptions.MostScale) ?? 1;
        adapter.Close(ignored);
        return new AdapterChoice(id, name, scale);
    }
}
