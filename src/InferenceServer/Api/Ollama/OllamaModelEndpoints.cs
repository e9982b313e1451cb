using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Api.Library;
using InferenceServer.Library;
using InferenceServer.Llama.Gguf;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

/// <summary>What this dialect asks of models besides replies: GET /api/tags, /api/ps, /api/version, POST /api/show, and what cannot be had here.</summary>
internal sealed class OllamaModelEndpoints(ModelCatalogue models, LibraryAccess library)
{
    // Clients compare it before they ask for tools, thinking or schemas: the release whose fields are read here.
    private const string SpokenVersion = "0.13.0";

    public Task TagsAsync(HttpContext http) => JsonAnswer.WriteAsync(http, new OllamaModelList([.. Named.Select(model =>
        new OllamaModel(NameOf(model.Id), NameOf(model.Id), OllamaHeader.Time(model.Created), model.File.SizeBytes, model.File.Digest, Details(model.File))), .. NotLoaded.Select(model =>
        new OllamaModel(model.Name, model.Name, OllamaHeader.Time(model.AddedAt), model.SizeBytes, model.Digest, Details(model)))]), OllamaJson.Wire.OllamaModelList);

    public Task RunningAsync(HttpContext http) => JsonAnswer.WriteAsync(http, new OllamaRunningList([.. Loaded.Select(model => new OllamaRunningModel(
        NameOf(model.Id), NameOf(model.Id), model.File.SizeBytes, model.File.Digest, Details(model.File), OllamaHeader.Time(ExpiryOf(model.Id)),
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

        if (!Named.Any(model => ModelCatalogue.IsNamed(model.Id, name)) && library.Library?.Find(name) is { } manifest)
        {
            await JsonAnswer.WriteAsync(http, Show(manifest), OllamaJson.Wire.OllamaModelInformation);
            return;
        }

        OllamaModelInformation shown = models.FindEmbedOnly(name) is { } embedder
            ? Show(embedder.Id, embedder.Created, embedder.File, embedder.Capabilities)
            : Show(models.Find(name));
        await JsonAnswer.WriteAsync(http, shown, OllamaJson.Wire.OllamaModelInformation);
    }

    /// <summary>What would publish a model.</summary>
    public static Task RefuseAsync(HttpContext http) => throw new RequestProblem(ProblemKind.NotBuilt,
        $"{http.Request.Path} is not there: this server fetches models, and publishes none.", code: "not_implemented");

    /// <summary>When it leaves if nobody asks for it.</summary>
    private DateTimeOffset ExpiryOf(string id) => models.OnDemand?.Status.FirstOrDefault(model => model.Id == id)?.Expires ?? DateTimeOffset.MaxValue;

    /// <summary>Those that chat, then those that only embed.</summary>
    private IEnumerable<(string Id, DateTimeOffset Created, ServedModelFile File, int ContextLength)> Loaded => Describe(models.Models);

    /// <summary>As <see cref="Loaded"/>, and what those are with their LoRA adapters.</summary>
    private IEnumerable<(string Id, DateTimeOffset Created, ServedModelFile File, int ContextLength)> Named => Describe(models.Named);

    private IEnumerable<(string Id, DateTimeOffset Created, ServedModelFile File, int ContextLength)> Describe(IEnumerable<ServedModel> chatting) =>
        chatting.Select(model => (model.Id, model.Created, model.File, model.ContextLength))
            .Concat(models.EmbedOnly.Select(model => (model.Id, model.Created, model.File, model.MaxInputTokens)));

    /// <summary>What is in the library under a name that no loaded model has.</summary>
    private IEnumerable<ModelManifest> NotLoaded => library.Models.Where(manifest => !Loaded.Any(model => ModelCatalogue.IsNamed(model.Id, manifest.Name)));

    private static string NameOf(string id) => id.Contains(':', StringComparison.Ordinal) ? id : $"{id}:latest";

    private static OllamaModelDetails Details(ModelManifest manifest) =>
        new("", "gguf", manifest.Details.Architecture, [manifest.Details.Architecture], Parameters(manifest.Details.ParameterCount), manifest.Quant ?? manifest.Details.Quantization);

    /// <summary>Of a model that is not loaded: what its files say.</summary>
    private OllamaModelInformation Show(ModelManifest manifest)
    {
        GgufFile header = library.ToRead().ReadHeader(manifest);
        string template = library.ToRead().ReadTemplate(manifest) ?? header.GetString("tokenizer.chat_template") ?? "";
        ServedModelFile file = new()
        {
            Architecture = manifest.Details.Architecture,
            ParameterCount = manifest.Details.ParameterCount,
            ChatTemplate = template,
            Metadata = header.Scalars().Where(entry => entry.Key != "tokenizer.chat_template").ToDictionary(),
        };
        return Show(manifest.Name, manifest.AddedAt, file, manifest.Details.Capabilities) with
        {
            Details = Details(manifest),
            Modelfile = ModelfileOf(manifest),
            License = manifest.License,
        };
    }

    private static string ModelfileOf(ModelManifest manifest)
    {
        StringBuilder text = new($"FROM {manifest.Name}\n");
        if (manifest.System is { } system)
            text.Append(CultureInfo.InvariantCulture, $"SYSTEM \"\"\"{system}\"\"\"\n");
        foreach ((string name, JsonElement value) in manifest.Parameters)
            foreach (JsonElement one in value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : (JsonElement[])[value])
                text.Append(CultureInfo.InvariantCulture, $"PARAMETER {name} {(one.ValueKind == JsonValueKind.String ? $"\"{one.GetString()}\"" : one.GetRawText())}\n");
        return text.ToString();
    }

    private static OllamaModelDetails Details(ServedModelFile file) =>
        new("", "gguf", file.Architecture, [file.Architecture], Parameters(file.ParameterCount), file.Quantization);

    private static OllamaModelInformation Show(ServedModel model) => Show(model.Id, model.Created, model.File, model.Capabilities);

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
