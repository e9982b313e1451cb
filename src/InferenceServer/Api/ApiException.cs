namespace InferenceServer.Api;

/// <summary>A request that cannot be answered as asked. The error middleware turns it into a status and a body; it is never logged as a fault of ours.</summary>
/// <param name="status">HTTP status, 4xx or 5xx.</param>
/// <param name="message">For the person who wrote the client: what is wrong, where, and what would be right.</param>
/// <param name="type">OpenAI's error type.</param>
/// <param name="param">Path of the offending field, such as <c>messages[2].content[0].type</c>; null when no field is to blame.</param>
/// <param name="code">A name that programs compare; null when the type says it all.</param>
public sealed class ApiException(int status, string message, string type, string? param = null, string? code = null) : Exception(message)
{
    public int Status { get; } = status;

    public string Type { get; } = type;

    public string? Param { get; } = param;

    public string? Code { get; } = code;

    /// <summary>Sent as <c>Retry-After</c>, in whole seconds rounded up; with a queue position also as <c>X-Queue-Estimated-Start</c>, a moment in UTC.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The place in the queue that there was no room for, sent as <c>X-Queue-Position</c>.</summary>
    public int? QueuePosition { get; init; }

    public static ApiException InvalidValue(string message, string? param, string? code = null) =>
        new(StatusCodes.Status400BadRequest, message, ErrorTypes.InvalidRequest, param, code);

    /// <summary>A field that is understood and asks for what this server cannot do: refused, never ignored.</summary>
    public static ApiException Unsupported(string param, string why) =>
        InvalidValue($"'{param}' is not supported: {why}", param, "unsupported_parameter");
}

/// <summary>The values of <c>error.type</c>.</summary>
internal static class ErrorTypes
{
    public const string InvalidRequest = "invalid_request_error";
    public const string RateLimit = "rate_limit_error";
    public const string Server = "server_error";
}
