using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Moderation;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Operations;

/// <summary>How a request ended.</summary>
/// <param name="Outcome">The label of the request counter.</param>
internal sealed record RequestEnd(int Status, string Outcome, double Seconds);

/// <summary>
/// What is known of one request, for its log line, the metrics and the list of recent ones. Written by the request's own task; others may read at any time, and see all of it
/// once <see cref="End"/> is there. Times come from one monotonic clock.
/// </summary>
/// <param name="metrics">Null for what is not counted.</param>
internal sealed class RequestTrace(string id, string? traceId, TimeProvider clock, ServerMetrics? metrics) : ITurnObserver
{
    private const string Ok = "ok", ClientError = "client_error", ServerError = "server_error";

    private readonly long _started = clock.GetTimestamp();
    private readonly SortedSet<string> _flagged = new(StringComparer.Ordinal);
    private long[] _lastTokens = [];
    private long _firstToken;
    private int _counted;
    private bool _clientWent;
    private volatile GenerationSet? _generations;
    private volatile RequestEnd? _end;

    public string Id { get; } = id;

    /// <summary>The caller's, from <c>traceparent</c>; null when it sent none.</summary>
    public string? TraceId { get; } = traceId;

    public DateTimeOffset Arrived { get; } = clock.GetUtcNow();

    /// <summary>Null until one is asked.</summary>
    public string? Model { get; private set; }

    /// <summary>The answer comes as a stream.</summary>
    public bool Stream { get; set; }

    public int PromptTokens { get; private set; }

    public int CachedTokens { get; private set; }

    public int CompletionTokens { get; private set; }

    /// <summary>1 is next; null once a step has worked on it, and where it is in no engine's queue.</summary>
    public int? QueuePosition => _generations?.QueuePosition;

    public double? FirstTokenSeconds => Volatile.Read(ref _firstToken) is var at and not 0 ? clock.GetElapsedTime(_started, at).TotalSeconds : null;

    /// <summary>How its choices ended, in the last round; null unless all of them ended well.</summary>
    public GenerationResult[]? Results { get; private set; }

    public int Preemptions { get; private set; }

    /// <summary>Null while it runs.</summary>
    public RequestEnd? End => _end;

    /// <summary>Something else goes on in its place, with a trace of its own.</summary>
    public bool IsPassedOn { get; private set; }

    /// <summary>What it ended in instead of an answer.</summary>
    public RequestProblem? Error { get; private set; }

    /// <summary>What the log says of it.</summary>
    public string? ErrorMessage { get; private set; }

    public double ElapsedSeconds => clock.GetElapsedTime(_started).TotalSeconds;

    public static RequestTrace Of(HttpContext http) => http.Features.GetRequiredFeature<RequestTrace>();

    /// <summary>The request is well formed and goes to the engine.</summary>
    public void Accepted(string model, IReadOnlyList<GenerationRequest> requests)
    {
        Model = model;
        _lastTokens = new long[requests.Count];
        foreach (GenerationRequest request in requests)
            PromptTokens += request.PromptTokens.Length;
    }

    /// <summary>The request is well formed and its tokens go to an embedding model.</summary>
    public void Embeds(string model, int tokens) => (Model, PromptTokens) = (model, tokens);

    /// <summary>The engine has it.</summary>
    public void Submitted(GenerationSet generations) => _generations = generations;

    /// <summary>A token of a choice reached the HTTP side.</summary>
    public void Token(int choice)
    {
        long now = clock.GetTimestamp();
        if (_lastTokens[choice] != 0)
            metrics?.InterToken.Observe(clock.GetElapsedTime(_lastTokens[choice], now).TotalSeconds);
        _lastTokens[choice] = now;
        CompletionTokens++;
        if (_firstToken != 0)
            return;
        Volatile.Write(ref _firstToken, now);
        metrics?.TimeToFirstToken.Observe(clock.GetElapsedTime(_started, now).TotalSeconds);
    }

    /// <summary>Every choice ended well: the engine's counts replace what was counted on the way. Once a round, where the server runs tools.</summary>
    public void Finished(IReadOnlyList<GenerationResult> results)
    {
        CompletionTokens = _counted;
        foreach (GenerationResult result in results)
        {
            CompletionTokens += result.CompletionTokens;
            CachedTokens += result.CachedTokens;
            Preemptions += result.Preemptions;
            metrics?.QueueTime.Observe(result.Timing.QueueSeconds);
        }

        _counted = CompletionTokens;
        Results = results.Count == 0 ? null : [.. results];
    }

    /// <param name="message">In the words of the request's dialect.</param>
    public void Failed(RequestProblem error, string message) => (Error, ErrorMessage) = (error, message);

    /// <summary>The client dropped the connection before its request was whole.</summary>
    public void ClientWent() => _clientWent = true;

    public void PassOn() => IsPassedOn = true;

    /// <summary>Its answer is out. Nothing is written to it after this.</summary>
    public void Ended(int status, string outcome)
    {
        // Traces are kept for a while; prompts are not.
        _generations = null;
        _end = new RequestEnd(status, outcome, ElapsedSeconds);
    }

    /// <summary>Categories that something of this request was flagged for.</summary>
    public IReadOnlyCollection<string> FlaggedCategories => _flagged;

    /// <summary>The moderation model could not judge a part of it.</summary>
    /// <param name="part">input or output.</param>
    public void Unjudged(string part) => metrics?.Moderation.Failed(part);

    /// <summary>Moderation judged a part of it.</summary>
    /// <param name="part">input or output.</param>
    public void Moderated(ModerationRules rules, ModerationVerdict verdict, string part, bool refused)
    {
        metrics?.Moderation.Judged(rules, verdict, part, refused ? "refused" : "reported");
        _flagged.UnionWith(rules.FlaggedCategories(verdict));
    }

    /// <summary>Whatever its status is, it is no error.</summary>
    public bool IsAnsweredAsMeant { get; set; }

    /// <summary>The label of the request counter.</summary>
    public string Outcome(HttpContext http) =>
        _clientWent || http.RequestAborted.IsCancellationRequested ? "disconnected" : IsAnsweredAsMeant ? Ok : Error is { } error ? OutcomeOf(error.Kind) : http.Response.StatusCode >= 500 ? ServerError : http.Response.StatusCode >= 400 ? ClientError : Ok;

    /// <param name="kind">Null for a request that was answered.</param>
    public static string OutcomeOf(ProblemKind? kind) => kind switch
    {
        null => Ok,
        ProblemKind.Busy => "queue_full",
        ProblemKind.Unavailable or ProblemKind.Unreachable => "unavailable",
        ProblemKind.DeadlineExceeded => "deadline_exceeded",
        ProblemKind.Failed or ProblemKind.NotBuilt or ProblemKind.StorageFull => ServerError,
        _ => ClientError,
    };
}
