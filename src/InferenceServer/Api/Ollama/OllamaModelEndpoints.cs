using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

/// <summary>What this dialect asks of models besides replies: GET /api/tags, /api/ps, /api/version, POST /api/show, and what cannot be had here.</summary>
internal sealed class OllamaModelEndpoints(ModelCatalogue models)
{
    // Clients compare it before they ask for tools, thinking or schemas: the release whose fields are read here.
    private const string SpokenVersion = "0.13.0";

    public Task TagsAsync(HttpContext http) => JsonAnswer.WriteAsync(http, new OllamaModelList([.. Loaded.Select(model =>
        new OllamaModel(NameOf(model.Id), NameOf(model.Id), OllamaHeader.Time(model.Created), model.File.SizeBytes, model.File.Digest, Details(model.File)))]), OllamaJson.Wire.OllamaModelList);

    public Task RunningAsync(HttpContext http) => JsonAnswer.WriteAsync(http, new OllamaRunningList([.. Loaded.Select(model => new OllamaRunningModel(
        NameOf(model.Id), NameOf(model.Id), model.File.SizeBytes, model.File.Digest, Details(model.File), OllamaHeader.Time(DateTimeOffset.MaxValue),
        model.File.GpuBytes, model.ContextLength))]), OllamaJson.Wire.OllamaRunningList);

    public Task VersionAsync(HttpContext http) =>
        JsonAnswer.WriteAsync(http, new OllamaVersion(SpokenVersion, $"InferenceServer {ServerVersion.Text}"), OllamaJson.Wire.OllamaVersion);

    public async Task ShowAsync(HttpContext http)
    {
        string name;
        using (JsonDocument document = await JsonBody.ReadAsync(http))
        {
            JsonFields body = new(document.RootElement, "");
            string? formerName = body.String("name");
            name = body.String("model") ?? formerName ?? body.RequireString("model");
            if (body.Boolean("verbose") == true)
                throw RequestProblem.Unsupported("verbose", "vocabularies are not sent.");
            List<string> ignored = [];
            body.Close(ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        OllamaModelInformation shown = models.FindEmbedOnly(name) is { } embedder
            ? Show(embedder.Id, embedder.Created, embedder.File, ["embedding"])
            : Show(models.Find(name));
        await JsonAnswer.WriteAsync(http, shown, OllamaJson.Wire.OllamaModelInformation);
    }

    /// <summary>What would change the models of this server.</summary>
    public static Task RefuseAsync(HttpContext http) => throw new RequestProblem(ProblemKind.NotBuilt,
        $"{http.Request.Path} is not there: this server serves the model that it was started with (--model) and changes none.", code: "not_implemented");

    /// <summary>Those that chat, then those that only embed.</summary>
    private IEnumerable<(string Id, DateTimeOffset Created, ServedModelFile File, int ContextLength)> Loaded =>
        models.Models.Select(model => (model.Id, model.Created, model.File, model.ContextLength))
            .Concat(models.EmbedOnly.Select(model => (model.Id, model.Created, model.File, model.MaxInputTokens)));

    private static string NameOf(string id) => $"{id}:latest";

    private static OllamaModelDetails Details(ServedModelFile file) =>
        new("", "gguf", file.Architecture, [file.Architecture], Parameters(file.ParameterCount), file.Quantization);

    private static OllamaModelInformation Show(ServedModel model)
    {
        List<string> capabilities = ["completion"];
        if (model.Replies.Format.Calls.Count > 0)
            capabilities.Add("tools");
        if (model.Replies.Format.Reasoning is not null)
            capabilities.Add("thinking");
        if (model.Vocabulary.Middle is not null)
            capabilities.Add("insert");
        return Show(model.Id, model.Created, model.File, capabilities);
    }

    private static OllamaModelInformation Show(string id, DateTimeOffset created, ServedModelFile file, IReadOnlyList<string> capabilities)
    {
        Dictionary<string, JsonElement> information = new() { ["general.parameter_count"] = Element(file.ParameterCount, OllamaJson.Wire.Int64) };
        foreach ((string key, object value) in file.Metadata)
            information[key] = value switch
            {
                string text => Element(text, OllamaJson.Wire.String),
                long number => Element(number, OllamaJson.Wire.Int64),
                bool flag => Element(flag, OllamaJson.Wire.Boolean),
                double number when double.IsFinite(number) => Element(number, OllamaJson.Wire.Double),
                _ => Element(value.ToString()!, OllamaJson.Wire.String),
            };
        return new($"FROM {id}", file.ChatTemplate, Details(file), information, capabilities, OllamaHeader.Time(created))
        {
            License = file.Metadata.TryGetValue("general.license", out object? license) ? license as string : null,
        };
    }

    private static JsonElement Element<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.SerializeToElement(value, type);

    /// <summary>A count with three digits at most, such as 5.5M.</summary>
    private static string Parameters(long count)
    {
        (double scaled, string unit) = count switch
        {
            >= 1_000_000_000 => (count / 1e9, "B"),
            >= 1_000_000 => (count / 1e6, "M"),
            >= 1_000 => (count / 1e3, "K"),
            _ => (count, ""),
        };
        return scaled.ToString(scaled < 100 ? "0.#" : "0", CultureInfo.InvariantCulture) + unit;
    }
}
