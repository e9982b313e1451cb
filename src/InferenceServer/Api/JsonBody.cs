using System.Text.Json;
using System.Text.Unicode;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>Reads a request's body as one JSON object, of one route as an array, or throws the 4xx that says why it is none.</summary>
internal static class JsonBody
{
    // Message arrays with tool calls and schemas nest to about 20; what is deeper is an attack on the parser.
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 64, AllowDuplicateProperties = false };

    public static async Task<JsonDocument> ReadAsync(HttpContext http, JsonValueKind wanted = JsonValueKind.Object)
    {
        // Strict also because of browsers: a cross-site page may post text/plain or no type at all without asking; JSON it may not.
        if (!http.Request.HasJsonContentType() && !IsLenient(http.Request))
            throw WrongContentType(http.Request);
        return Parse(await ContentCodings.ReadAsync(http), wanted);
    }

    /// <summary>
    /// Ollama's users post without saying the type. Under /api nothing of another site's pages gets here, whatever type it has: <see cref="AccessMiddleware"/> refuses
    /// their origins.
    /// </summary>
    private static bool IsLenient(HttpRequest request) => request.Path.StartsWithSegments("/api") && string.IsNullOrEmpty(request.ContentType);

    /// <summary>Reads the body into a request, and tells the client which of its fields nobody knew.</summary>
    /// <param name="parse">Takes the fields that it knows and adds the names of the others to the list.</param>
    /// <param name="wanted">An object or an array.</param>
    public static async Task<T> ReadAsync<T>(HttpContext http, Func<JsonElement, List<string>, T> parse, JsonValueKind wanted = JsonValueKind.Object)
    {
        using JsonDocument body = await ReadAsync(http, wanted);
        List<string> ignored = [];
        T read = parse(body.RootElement, ignored);
        IgnoredParameters.Announce(http.Response, ignored);
        return read;
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> bytes, JsonValueKind wanted)
    {
        // Windows' editors and shells put a byte order mark before files.
        if (bytes.Span.StartsWith("\uFEFF"u8))
            bytes = bytes[3..];
        string name = wanted is JsonValueKind.Array ? "array" : "object";
        if (bytes.IsEmpty)
            throw RequestProblem.Invalid($"The body is empty; send a JSON {name}.", null, "invalid_json");
        if (!Utf8.IsValid(bytes.Span))
            throw RequestProblem.Invalid("The body is not valid JSON: it is not valid UTF-8.", null, "invalid_json");
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(bytes, Options);
        }
        catch (JsonException error)
        {
            throw RequestProblem.Invalid($"The body is not valid JSON: {Reason(error)}", null, "invalid_json");
        }
        catch (InvalidOperationException)
        {
            // A property name with half a surrogate pair, met while looking for duplicates.
            throw RequestProblem.Invalid("The body is not valid JSON: a property name is not valid Unicode text.", null, "invalid_json");
        }

        if (document.RootElement.ValueKind == wanted)
            return document;
        string kind = JsonValue.Describe(document.RootElement);
        document.Dispose();
        throw RequestProblem.Invalid($"The body must be a JSON {name}; it is {kind}.", null, "invalid_json");
    }

    /// <summary>The parser's reason with a position that counts as editors do.</summary>
    private static string Reason(JsonException error)
    {
        string reason = error.Message;
        int position = reason.IndexOf(" LineNumber:", StringComparison.Ordinal);
        if (position >= 0)
            reason = reason[..position];
        return error.LineNumber is { } line ? $"{reason} (line {line + 1}, byte {(error.BytePositionInLine ?? 0) + 1})" : reason;
    }

    public static RequestProblem WrongContentType(HttpRequest request) => new(
        ProblemKind.UnknownForm,
        $"The content type must be application/json; it is {(string.IsNullOrEmpty(request.ContentType) ? "missing" : $"'{request.ContentType}'")}.", code: "unsupported_media_type");
}
