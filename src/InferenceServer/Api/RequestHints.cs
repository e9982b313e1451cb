using System.Globalization;
using InferenceServer.Chat;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>What a request says of itself in headers, besides its body.</summary>
/// <param name="SessionId"><c>X-Session-Id</c>: the session whose cached prefix is kept longer.</param>
/// <param name="Timeout"><c>X-Request-Timeout-Ms</c>: when to give up, counted from arrival.</param>
/// <param name="Key">Whose request it is.</param>
internal sealed record RequestHints(string? SessionId, TimeSpan? Timeout, ApiKey Key)
{
    /// <summary>What moderation does with it.</summary>
    public ModerationGate Moderation { get; private init; } = ModerationGate.Off;

    private bool IsStrict { get; init; }

    private const int MaxSessionIdLength = 512;
    private const int MaxTimeoutMilliseconds = 86_400_000;

    /// <summary>Starts a turn for this request: what the headers say of it counts beside what its body does.</summary>
    /// <param name="stream">The answer comes as a stream.</param>
    public async Task<ChatTurn> StartAsync(HttpContext http, ServedModel model, ChatRequest chat, bool stream)
    {
        RequestTrace.Of(http).Stream = stream;
        ChatTurn turn = await StartAsync(model, chat, RequestTrace.Of(http), http.RequestAborted);
        Announce(http, turn);
        return turn;
    }

    /// <summary>Tells in headers what had to be done to the conversation, and what of its tools' schemas is left open.</summary>
    public static void Announce(HttpContext http, ChatTurn turn)
    {
        // Signs of life have gone out with the head, while the model was loaded.
        if (http.Response.HasStarted)
            return;
        Announce(http, turn.Adaptations);
        IgnoredParameters.AnnounceLoosened(http.Response, turn.LoosenedSchemas);
    }

    /// <summary>Tells in a header what had to be done to the conversation.</summary>
    public static void Announce(HttpContext http, IReadOnlyCollection<string> adaptations)
    {
        if (adaptations.Count > 0)
            http.Response.Headers["x-conversation-adapted"] = string.Join(", ", adaptations);
    }

    /// <summary>As the other, for what goes on without the request.</summary>
    public Task<ChatTurn> StartAsync(ServedModel model, ChatRequest chat, RequestTrace trace, CancellationToken aborted) =>
        ChatTurn.StartAsync(model, chat with { Options = Apply(chat.Options), RefusesLooseSchemas = IsStrict }, Moderation, trace, aborted);

    /// <summary>As the other, without a template and without moderation.</summary>
    public Task<ChatTurn> StartAsync(HttpContext http, ServedModel model, TextRequest text, bool stream)
    {
        RequestTrace trace = RequestTrace.Of(http);
        trace.Stream = stream;
        return ChatTurn.StartAsync(model, text with { Options = Apply(text.Options) }, trace, http.RequestAborted);
    }

    private GenerationOptions Apply(GenerationOptions options) => options with
    {
        CacheNamespace = Key.CacheNamespace(options.CacheSalt),
        FairnessKey = Key.FairnessKey(options.User),
        Session = SessionId ?? (options.Session is "" ? null : options.Session),
        Timeout = Timeout < options.Timeout || options.Timeout is null ? Timeout : options.Timeout,
    };

    public static RequestHints Of(HttpRequest request)
    {
        ApiKey key = ApiKey.Of(request.HttpContext);
        // Without a name there is no session.
        string? session = request.Headers["X-Session-Id"].ToString() is { Length: > 0 } named ? named : null;
        if (session is { Length: > MaxSessionIdLength })
            throw RequestProblem.Invalid($"X-Session-Id may have at most {MaxSessionIdLength} characters.", "X-Session-Id", "invalid_length");

        string? timeout = request.Headers["X-Request-Timeout-Ms"];
        if (string.IsNullOrEmpty(timeout))
            return OnThisServer(new RequestHints(session, null, key));
        if (!int.TryParse(timeout, NumberStyles.None, CultureInfo.InvariantCulture, out int milliseconds) || milliseconds is 0 or > MaxTimeoutMilliseconds)
            throw RequestProblem.Invalid($"X-Request-Timeout-Ms must be an integer from 1 to {MaxTimeoutMilliseconds}.", "X-Request-Timeout-Ms", "out_of_range");
        return OnThisServer(new RequestHints(session, TimeSpan.FromMilliseconds(milliseconds), key));

        RequestHints OnThisServer(RequestHints hints)
        {
            WebHostOptions server = request.HttpContext.RequestServices.GetRequiredService<WebHostOptions>();
            return hints with { Moderation = server.Moderation, IsStrict = server.Strict };
        }
    }
}
