namespace InferenceServer;

/// <summary>What kind of problem it is; a protocol turns it into its own status.</summary>
public enum ProblemKind
{
    /// <summary>The request is wrong; the same request will always be.</summary>
    Invalid,

    /// <summary>The caller did not show who it is.</summary>
    Unauthorized,

    /// <summary>The caller may not do this.</summary>
    Forbidden,

    /// <summary>What the request names is not here.</summary>
    NotFound,

    /// <summary>It is here, and this cannot be done with it.</summary>
    NotAllowed,

    /// <summary>The request is larger than the server reads.</summary>
    TooLarge,

    /// <summary>The request is written in a form that the server does not read.</summary>
    UnknownForm,

    /// <summary>It contradicts an earlier request that it says it repeats.</summary>
    Conflict,

    /// <summary>As many requests wait as may; later there is room.</summary>
    Busy,

    /// <summary>The server failed. Its log says why.</summary>
    Failed,

    /// <summary>Nobody has built this.</summary>
    NotBuilt,

    /// <summary>The server stops, or a part of it does not work at the moment.</summary>
    Unavailable,

    /// <summary>Another server, which the request needs, cannot be used at the moment.</summary>
    Unreachable,

    /// <summary>The time that the request had is over.</summary>
    DeadlineExceeded,

    /// <summary>There is no room left to keep anything.</summary>
    StorageFull,
}

/// <summary>A prompt that is too long for its model.</summary>
/// <param name="Tokens">What it has; with <paramref name="IsAtLeast"/> what it has at least, told by its bytes.</param>
/// <param name="ContextLength">Most tokens of a prompt and its reply.</param>
public sealed record ContextOverflow(int Tokens, int ContextLength, bool IsAtLeast);

/// <summary>
/// A request that cannot be answered as asked: what is wrong, where, why, and what would be right. It knows no protocol: each dialect gives it its own shape and
/// calls fields by its own names. It is never logged as a fault of ours.
/// </summary>
/// <param name="kind">What kind of problem it is.</param>
/// <param name="text">For the person who wrote the client. <c>{where}</c> stands for the place, in quotes, where the text names it.</param>
/// <param name="where">
/// Path of the field to blame, null when no field is: a property of the conversation core, such as <c>Prompts[2]</c>, which a dialect calls by its own name; or, from
/// whoever reads a dialect, that dialect's own path, such as <c>messages[2].content[0].type</c>.
/// </param>
/// <param name="code">A name that programs compare; null when the kind says it all.</param>
#pragma warning disable CA1710 // It is a problem of the request, told to whoever sent it; that it is thrown on its way is no matter of its name.
public sealed class RequestProblem(ProblemKind kind, string text, string? where = null, string? code = null) : Exception(Fill(text, where))
#pragma warning restore CA1710
{
    private const string Place = "{where}";

    public ProblemKind Kind { get; } = kind;

    public string? Where { get; } = where;

    public string? Code { get; } = code;

    /// <summary>When to try again, where that is known.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The place in the queue that there was no room for.</summary>
    public int? QueuePosition { get; init; }

    /// <summary>By how much a prompt is too long, for dialects with words of their own for it; null for other problems.</summary>
    public ContextOverflow? Overflow { get; init; }

    /// <summary>The message with the place called otherwise.</summary>
    public string MessageAt(string? place) => Fill(text, place);

    public static RequestProblem Invalid(string text, string? where, string? code = null) => new(ProblemKind.Invalid, text, where, code);

    /// <summary>A field that is understood and asks for what this server cannot do: refused, never ignored.</summary>
    public static RequestProblem Unsupported(string where, string why) => Invalid($"{Place} is not supported: {why}", where, "unsupported_parameter");

    // Only the first: what follows may hold text of the client's.
    private static string Fill(string text, string? where)
    {
        int at = where is null ? -1 : text.IndexOf(Place, StringComparison.Ordinal);
        return at < 0 ? text : $"{text.AsSpan(0, at)}'{where}'{text.AsSpan(at + Place.Length)}";
    }
}
