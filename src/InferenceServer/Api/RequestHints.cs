using System.Globalization;
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

    private const int MaxSessionIdLength = 512;
    private const int MaxTimeoutMilliseconds = 86_400_000;

    public static RequestHints Of(HttpRequest request)
    {
        ApiKey key = ApiKey.Of(request.HttpContext);
        // Without a name there is no session.
        string? session = request.Headers["X-Session-Id"].ToString() is { Length: > 0 } named ? named : null;
        if (session is { Length: > MaxSessionIdLength })
            throw ApiException.InvalidValue($"X-Session-Id may have at most {MaxSessionIdLength} characters.", "X-Session-Id", "invalid_length");

        string? timeout = request.Headers["X-Request-Timeout-Ms"];
        if (string.IsNullOrEmpty(timeout))
            return Moderated(new RequestHints(session, null, key));
        if (!int.TryParse(timeout, NumberStyles.None, CultureInfo.InvariantCulture, out int milliseconds) || milliseconds is 0 or > MaxTimeoutMilliseconds)
            throw ApiException.InvalidValue($"X-Request-Timeout-Ms must be an integer from 1 to {MaxTimeoutMilliseconds}.", "X-Request-Timeout-Ms", "out_of_range");
        return Moderated(new RequestHints(session, TimeSpan.FromMilliseconds(milliseconds), key));

        RequestHints Moderated(RequestHints hints) => hints with { Moderation = request.HttpContext.RequestServices.GetRequiredService<WebHostOptions>().Moderation };
    }
}
