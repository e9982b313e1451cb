using System.Globalization;
using Microsoft.Extensions.Primitives;

namespace InferenceServer.Api.Replay;

/// <summary>A place in a recorded stream, as an event's <c>id</c> names it.</summary>
internal readonly record struct StreamPosition(string StreamId, int Segment)
{
    /// <exception cref="RequestProblem">400: no event of ours has such an id.</exception>
    public static StreamPosition Parse(string eventId)
    {
        int point = eventId.LastIndexOf('.');
        return point > 0 && int.TryParse(eventId.AsSpan(point + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int segment)
            ? new(eventId[..point], segment)
            : throw RequestProblem.Invalid($"{{where}} is not the id of an event of this server.", ReplayRequest.LastEventHeader, "invalid_value");
    }
}

/// <summary>What a request's headers say about asking again.</summary>
/// <param name="Key"><c>Idempotency-Key</c>: whoever sends it again, with the same body, gets the first answer.</param>
/// <param name="Grace"><c>X-Disconnect-Grace-Ms</c>: how long the reply is still generated when nobody reads it any more.</param>
/// <param name="After"><c>Last-Event-ID</c>: send what followed this event.</param>
internal sealed record ReplayRequest(string? Key, TimeSpan Grace, StreamPosition? After)
{
    public const string KeyHeader = "Idempotency-Key";
    public const string GraceHeader = "X-Disconnect-Grace-Ms";
    public const string LastEventHeader = "Last-Event-ID";

    private const int MaxKeyLength = 255;
    private const int MaxGraceMilliseconds = 600_000;

    /// <summary>Null for a request that asks for none of this.</summary>
    public static ReplayRequest? Of(HttpRequest request)
    {
        string? key = One(request, KeyHeader), grace = One(request, GraceHeader), last = One(request, LastEventHeader);
        if (key is null && grace is null && last is null)
            return null;
        if (key is not null && (key.Length > MaxKeyLength || !key.All(c => c is > ' ' and <= '~')))
            throw RequestProblem.Invalid($"{{where}} must have 1 to {MaxKeyLength} printable ASCII characters without spaces.", KeyHeader, "invalid_value");
        int milliseconds = 0;
        if (grace is not null && (!int.TryParse(grace, NumberStyles.None, CultureInfo.InvariantCulture, out milliseconds) || milliseconds > MaxGraceMilliseconds))
            throw RequestProblem.Invalid($"{{where}} must be an integer from 0 to {MaxGraceMilliseconds}.", GraceHeader, "out_of_range");
        return new ReplayRequest(key, TimeSpan.FromMilliseconds(milliseconds), last is null ? null : StreamPosition.Parse(last));
    }

    private static string? One(HttpRequest request, string header)
    {
        StringValues values = request.Headers[header];
        return values.Count <= 1
            ? values.ToString() is { Length: > 0 } value ? value : null
            : throw RequestProblem.Invalid($"{{where}} is given {values.Count} times.", header, "invalid_value");
    }
}
