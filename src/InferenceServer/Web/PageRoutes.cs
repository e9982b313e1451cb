using System.Text.Json.Serialization;
using InferenceServer.Api;
using InferenceServer.Operations;
using Microsoft.Net.Http.Headers;

namespace InferenceServer.Web;

/// <summary>What a program reads at the server's address.</summary>
internal sealed record ServerGreeting(string Name, string Version, string Docs, string OpenApi);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ServerGreeting))]
internal sealed partial class PageJson : JsonSerializerContext;

/// <summary>The chat page: its addresses, its files, and what a browser is told of them. It holds no secret, so that it opens without a key; what it asks the API wants one.</summary>
internal static class PageRoutes
{
    // The page asks nobody but this server, and runs no script and no style but its own files and the map of their hashes, which must stand in the page itself.
    private static string Policy(string? importMapHash) => $"default-src 'none'; script-src 'self'{(importMapHash is null ? "" : $" 'sha256-{importMapHash}'")}; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    // A build gives a file a new name when its content changes.
    private const string Forever = "public, max-age=31536000, immutable";
    private const string AskAgain = "no-cache";
    private const string HowToGetIt = "The server runs, and was built without its page: install Node.js 20.19 or newer with npm, and build the server again.";

    // The page itself reads in its address what it is to show.
    private static readonly string[] Places = ["/c/{conversation}", "/status", "/playground", "/feedback"];

    public static void Map(WebApplication app)
    {
        PageFiles page = PageFiles.Load(app.Services.GetRequiredService<WebHostOptions>().PageDirectory);
        string policy = Policy(page.ImportMapHash);
        MapFile(app, "/", http => !IsBrowser(http.Request) ? GreetAsync(http) : page.Index is { } index ? WriteAsync(http, index, policy, AskAgain) : WithoutPageAsync(http));
        foreach (string place in Places)
            MapFile(app, place, http => WriteAsync(http, page.Index ?? throw NoPage(), policy, AskAgain));
        foreach (string name in page.RootNames)
            MapFile(app, $"/{name}", http => WriteAsync(http, page.Find(name)!, policy, AskAgain));
        // Browsers ask for it whatever the page says, and before they have read it.
        if (!page.RootNames.Contains("favicon.ico"))
            MapFile(app, "/favicon.ico", http => page.Icon is { } icon ? WriteAsync(http, icon, policy, AskAgain) : NothingAsync(http));
        MapFile(app, "/assets/{**name}", http => page.Find($"assets/{http.Request.RouteValues["name"]}") is { } file ? WriteAsync(http, file, policy, Forever) : NotFoundAsync(http));
    }

    private static void MapFile(WebApplication app, string path, RequestDelegate answer) => app.MapGet(path, answer).WithMetadata(QuietRoute.Marker).AllowAnonymous().ExcludeFromDescription();

    private static async Task WriteAsync(HttpContext http, PageFile file, string policy, string caching)
    {
        IList<StringWithQualityHeaderValue> accepted = http.Request.GetTypedHeaders().AcceptEncoding;
        (string coding, byte[] bytes, string tag) = file.Encodings.First(encoding => encoding.Coding == "identity" || IsAccepted(accepted, encoding.Coding));
        HttpResponse response = http.Response;
        response.Headers.ContentSecurityPolicy = policy;
        response.Headers.CacheControl = caching;
        response.Headers.ETag = tag;
        response.Headers.AppendCommaSeparatedValues(HeaderNames.Vary, HeaderNames.AcceptEncoding);
        if (http.Request.GetTypedHeaders().IfNoneMatch.Any(known => known.Tag == tag || known == EntityTagHeaderValue.Any))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        response.ContentType = file.ContentType;
        response.ContentLength = bytes.Length;
        if (coding != "identity")
            response.Headers.ContentEncoding = coding;
        await response.BodyWriter.WriteAsync(bytes, http.RequestAborted);
    }

    private static bool IsAccepted(IList<StringWithQualityHeaderValue> accepted, string coding) =>
        accepted.Any(one => one.Value.Equals(coding, StringComparison.OrdinalIgnoreCase) && one.Quality is not 0);

    private static Task WithoutPageAsync(HttpContext http)
    {
        http.Response.ContentType = "text/plain; charset=utf-8";
        return http.Response.WriteAsync(HowToGetIt + "\n", http.RequestAborted);
    }

    private static bool IsBrowser(HttpRequest request)
    {
        request.HttpContext.Response.Headers.Vary = $"{HeaderNames.Accept}, {HeaderNames.UserAgent}";
        return request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Programs look here for whether a server runs, and for which one.</summary>
    private static Task GreetAsync(HttpContext http)
    {
        if (!http.Request.Headers.UserAgent.ToString().StartsWith("ollama", StringComparison.OrdinalIgnoreCase))
            return http.Response.WriteAsJsonAsync(new ServerGreeting("InferenceServer", ServerVersion.Text, "/docs", "/openapi/v1.json"), PageJson.Default.ServerGreeting, cancellationToken: http.RequestAborted);
        http.Response.ContentType = "text/plain; charset=utf-8";
        return http.Response.WriteAsync("Ollama is running", http.RequestAborted);
    }

    private static Task NothingAsync(HttpContext http)
    {
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private static Task NotFoundAsync(HttpContext http)
    {
        http.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    private static RequestProblem NoPage() => new(ProblemKind.NotFound, HowToGetIt, code: "no_page");
}
