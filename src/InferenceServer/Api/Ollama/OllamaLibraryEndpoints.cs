using System.ComponentModel;
using System.Text.Json;
using InferenceServer.Api.Library;
using InferenceServer.Api.Streaming;
using InferenceServer.Library;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Api.Ollama;

/// <summary>The body of POST /api/pull.</summary>
public sealed record OllamaPullRequest(
    [property: Description("A name of Ollama's, or hf:owner/repo[:quant], as hf.co/owner/repo too; 'name' is its former name.")] string Model)
{
    [Description("Send a line of JSON for each bit of progress.")]
    public bool Stream { get; init; } = true;

    [Description("Only false: hubs are asked over https, and over http where an address of the server's options says so.")]
    public bool Insecure { get; init; }
}

/// <summary>A line of POST /api/pull and /api/create.</summary>
public sealed record OllamaStatus(
    [property: Description("pulling manifest, pulling and the digest's beginning, verifying sha256 digest, writing manifest, success; or a note.")] string Status)
{
    public string? Digest { get; init; }

    [Description("Bytes of the file.")]
    public long? Total { get; init; }

    [Description("Bytes of it that are here.")]
    public long? Completed { get; init; }
}

/// <summary>The body of DELETE /api/delete.</summary>
public sealed record OllamaDeleteRequest(
    [property: Description("A model of the library; 'name' is its former name.")] string Model);

/// <summary>The body of POST /api/copy.</summary>
public sealed record OllamaCopyRequest(
    [property: Description("A model of the library.")] string Source,
    [property: Description("Its second name.")] string Destination);

/// <summary>The body of POST /api/create.</summary>
public sealed record OllamaCreateRequest(
    [property: Description("What the library calls it; 'name' is its former name.")] string Model)
{
    [Description("What it is made of: a model of the library, or one to pull.")]
    public string? From { get; init; }

    [Description("In place of from: a file that was uploaded, its name and its digest.")]
    public IReadOnlyDictionary<string, string>? Files { get; init; }

    [Description("LoRA adapters that were uploaded: names and digests.")]
    public IReadOnlyDictionary<string, string>? Adapters { get; init; }

    [Description("A chat template, in Jinja.")]
    public string? Template { get; init; }

    [Description("A text, or several.")]
    public JsonElement? License { get; init; }

    [Description("A system message.")]
    public string? System { get; init; }

    [Description("Sampling options by Ollama's names.")]
    public JsonElement? Parameters { get; init; }

    [Description("In place of the other fields: the text of a Modelfile.")]
    public string? Modelfile { get; init; }

    public bool Stream { get; init; } = true;

    [Description("Refused: models are not quantized here; pull one that is.")]
    public string? Quantize { get; init; }

    [Description("Refused: send example messages with each request.")]
    public IReadOnlyList<OllamaMessage>? Messages { get; init; }
}

/// <summary>POST /api/pull, /api/create, /api/copy, /api/blobs, DELETE /api/delete.</summary>
internal sealed class OllamaLibraryEndpoints(LibraryAccess access, ModelPulls pulls, WebHostOptions options, TimeProvider clock)
{
    private const string Lines = "application/x-ndjson";
    private const int MostFiles = 64;

    public async Task PullAsync(HttpContext http)
    {
        (string model, bool stream) = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            (string, bool) read = (NameIn(body), body.Boolean("stream") ?? true);
            if (body.Boolean("insecure") == true)
                throw RequestProblem.Unsupported("insecure", "certificates are always checked; a mirror without any is named with --hub-endpoint http://...");
            body.Close(ignored);
            return read;
        });
        using PullListener listener = pulls.Join(model, null);
        if (!stream)
        {
            await listener.Result.WaitAsync(http.RequestAborted);
            await JsonAnswer.WriteAsync(http, new OllamaStatus("success"), OllamaJson.Wire.OllamaStatus);
            return;
        }

        using SseBuffer buffer = new(http.Response.BodyWriter);
        await PullStream.WriteAsync(http, listener, clock, Lines, buffer, progress => Line(buffer, progress), _ => Line(buffer, new OllamaStatus("success")), problem => Line(buffer, problem));
    }

    public async Task CreateAsync(HttpContext http)
    {
        ModelLibrary library = access.ToChange();
        (string name, Modelfile modelfile, bool stream) = await JsonBody.ReadAsync(http, ReadCreate);
        if (!stream)
        {
            await CreateAsync(library, name, modelfile, null, http.RequestAborted);
            await JsonAnswer.WriteAsync(http, new OllamaStatus("success"), OllamaJson.Wire.OllamaStatus);
            return;
        }

        using CancellationTokenSource left = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        using PullListener listener = new(_ => left.Cancel()) { Result = Task.FromCanceled<ModelManifest>(new CancellationToken(true)) };
        listener.Result = RunAsync();
        using SseBuffer buffer = new(http.Response.BodyWriter);
        await PullStream.WriteAsync(http, listener, clock, Lines, buffer, told => Line(buffer, told), _ => Line(buffer, new OllamaStatus("success")), problem => Line(buffer, problem));

        async Task<ModelManifest> RunAsync()
        {
            try
            {
                return await CreateAsync(library, name, modelfile, listener, left.Token);
            }
            finally
            {
                listener.Close();
            }
        }
    }

    public async Task CopyAsync(HttpContext http)
    {
        (string source, string destination) = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            (string, string) read = (body.RequireString("source"), body.RequireString("destination"));
            body.Close(ignored);
            return read;
        });
        await access.ToChange().CopyAsync(source, destination, http.RequestAborted);
    }

    public async Task DeleteAsync(HttpContext http)
    {
        string model = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            string read = NameIn(body);
            body.Close(ignored);
            return read;
        });
        await access.ToChange().RemoveAsync(model, http.RequestAborted);
    }

    /// <summary>HEAD /api/blobs/{digest}: whether it is here.</summary>
    public Task FindBlobAsync(HttpContext http)
    {
        if (!access.ToRead().HasBlob(ShaOf(http)))
            throw new RequestProblem(ProblemKind.NotFound, $"There is no blob {DigestOf(http)} here.", code: "blob_not_found");
        return Task.CompletedTask;
    }

    public async Task AddBlobAsync(HttpContext http)
    {
        ModelLibrary library = access.ToChange();
        // As large as models are; the disk sets the limit.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;
        await library.AddBlobAsync(ShaOf(http), http.Request.Body, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status201Created;
    }

    private Task<ModelManifest> CreateAsync(ModelLibrary library, string name, Modelfile modelfile, IProgress<PullProgress>? progress, CancellationToken cancellation) =>
        library.CreateAsync(name, modelfile, allowPaths: false, FreeMemory.Of(options.Devices()), progress, cancellation);

    private static (string Name, Modelfile Modelfile, bool Stream) ReadCreate(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string name = NameIn(body);
        string? text = body.String("modelfile"), from = body.String("from");
        bool stream = body.Boolean("stream") ?? true;
        if (body.String("quantize") is { Length: > 0 })
            throw RequestProblem.Unsupported("quantize", "models are not quantized here; pull one that is.");
        if (body.Array("messages", 0, int.MaxValue) is { Count: > 0 })
            throw RequestProblem.Unsupported("messages", "send example messages with each request.");
        List<string> files = Digests(body, "files"), adapters = Digests(body, "adapters");
        string? system = body.String("system"), template = body.String("template"), license = body.Take("license") is { } given ? LicenseOf(given) : null;
        IReadOnlyDictionary<string, JsonElement> parameters = body.Take("parameters") is { } settings
            ? settings.ValueKind == JsonValueKind.Object
                ? ModelParameters.Read(settings, (parameter, why) => throw RequestProblem.Invalid($"{{where}} cannot be taken over: {why}.", $"parameters.{parameter}", "invalid_value"))
                : throw JsonValue.WrongType(settings, "parameters", "an object")
            : new Dictionary<string, JsonElement>();
        body.Close(ignored);
        if (text is not null)
            return from is null && files.Count == 0 ? (name, Modelfile.Parse(text), stream)
                : throw RequestProblem.Invalid("{where} cannot be given beside 'from' or 'files': it says all.", "modelfile", "mutually_exclusive_parameters");
        if (files.Count > 1)
            throw RequestProblem.Invalid("{where} may name one GGUF file; split models are imported with 'InferenceServer import'.", "files", "invalid_length");
        if (from is { Length: > 0 } == files.Count > 0)
            throw RequestProblem.Invalid("Either 'from' or 'files' says what the model is made of.", "from", "missing_required_parameter");
        return (name, new Modelfile { From = from is { Length: > 0 } ? from : files[0], System = system, Template = template, License = license, Adapters = adapters, Parameters = parameters }, stream);
    }

    /// <summary>As a Modelfile names uploads.</summary>
    private static List<string> Digests(JsonFields body, string field)
    {
        if (body.Take(field) is not { } named)
            return [];
        if (named.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(named, field, "an object of names and digests");
        List<string> digests = [.. named.EnumerateObject().Select(each => $"@{JsonValue.String(each.Value, $"{field}.*")}")];
        return digests.Count > MostFiles ? throw RequestProblem.Invalid($"{{where}} may have at most {MostFiles} members; it has {digests.Count}.", field, "invalid_length")
            : digests.TrueForAll(digest => digest.StartsWith("@sha256:", StringComparison.Ordinal)) ? digests
            : throw RequestProblem.Invalid("{where} must map names to digests, sha256: and 64 hex digits.", field, "invalid_value");
    }

    private static string LicenseOf(JsonElement license) => license.ValueKind == JsonValueKind.Array
        ? string.Join('\n', JsonFields.Items(license, "license", 0, MostFiles).Select(item => JsonValue.String(item.Value, item.Path)))
        : JsonValue.String(license, "license");

    private static string NameIn(JsonFields body)
    {
        string? formerName = body.String("name");
        return body.String("model") ?? formerName ?? body.RequireString("model");
    }

    private static string ShaOf(HttpContext http) => DigestOf(http) is var digest && digest.StartsWith("sha256:", StringComparison.Ordinal) ? digest["sha256:".Length..] : digest;

    private static string DigestOf(HttpContext http) => (string)http.Request.RouteValues["digest"]!;

    private static void Line(SseBuffer buffer, PullProgress told)
    {
        if (told.Note is { } note)
            Line(buffer, new OllamaStatus(note));
        Line(buffer, told switch
        {
            { Phase: PullPhase.Downloading or PullPhase.Waiting, File: { } file } => new OllamaStatus($"pulling {file.Sha256[..12]}") { Digest = $"sha256:{file.Sha256}", Total = file.Size, Completed = Math.Min(told.Completed, file.Size) },
            { Phase: PullPhase.Verifying } => new OllamaStatus("verifying sha256 digest"),
            { Phase: PullPhase.WritingManifest or PullPhase.Done } => new OllamaStatus("writing manifest"),
            _ => new OllamaStatus("pulling manifest"),
        });
    }

    private static void Line(SseBuffer buffer, OllamaStatus status)
    {
        buffer.Json(status, OllamaJson.Wire.OllamaStatus);
        buffer.Raw("\n"u8);
    }

    private static void Line(SseBuffer buffer, RequestProblem problem)
    {
        buffer.Json(OllamaErrors.Response(problem), OllamaJson.Wire.OllamaError);
        buffer.Raw("\n"u8);
    }
}
