using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Operations;

namespace InferenceServer.Api;

internal static class JsonAnswer
{
    /// <summary>Answers 200 with one JSON body.</summary>
    public static async Task WriteAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(value, type);
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = body.Length;
        await http.Response.BodyWriter.WriteAsync(body, http.RequestAborted);
    }
}

/// <summary>Tells in headers what of a request has no effect.</summary>
internal static class IgnoredParameters
{
    private const string Header = "x-ignored-params";
    private const int MaxNames = 32;
    private const int MaxNameLength = 160;

    /// <summary>Lists in <c>x-ignored-params</c> the fields that nobody knew, so that a client can tell a typing error from a setting.</summary>
    /// <exception cref="RequestProblem">400, naming them: the server was started with --strict.</exception>
    public static void Announce(HttpResponse response, List<string> ignored)
    {
        if (ignored.Count == 0)
            return;
        if (response.HttpContext.RequestServices.GetRequiredService<WebHostOptions>().Strict)
            throw RequestProblem.Invalid(
                $"{(ignored.Count == 1 ? "This field is" : "These fields are")} unknown, and the server is strict: {string.Join(", ", ignored.Take(MaxNames).Select(HeaderSafe))}.",
                HeaderSafe(ignored[0]), "unknown_parameter");
        // Those of the query are there before those of the body.
        IEnumerable<string> before = response.Headers[Header].ToString() is { Length: > 0 } names ? [names] : [];
        response.Headers[Header] = string.Join(", ", before.Concat(ignored.Take(MaxNames).Select(HeaderSafe)));
    }

    /// <summary>Lists in <c>x-loosened-schemas</c> the places in schemas of tools that are left open.</summary>
    public static void AnnounceLoosened(HttpResponse response, IReadOnlyList<string> places)
    {
        if (places.Count > 0)
            response.Headers["x-loosened-schemas"] = string.Join(", ", places.Take(MaxNames).Select(HeaderSafe));
    }

    /// <summary>A client wrote the name: nothing of it may end a header or forge one.</summary>
    private static string HeaderSafe(string name) => string.Create(Math.Min(name.Length, MaxNameLength), name, static (safe, source) =>
    {
        for (int i = 0; i < safe.Length; i++)
            safe[i] = char.IsAsciiLetterOrDigit(source[i]) || source[i] is '_' or '-' or '.' or '$' or '[' or ']' ? source[i] : '?';
    });
}
