using Prometheus;

namespace InferenceServer.Operations;

/// <summary>What is measured of requests under the names, labels and buckets of OpenTelemetry's semantic conventions, for dashboards that know these.</summary>
internal sealed class ConventionalMetrics(MetricFactory factory)
{
    private const string Operation = "gen_ai_operation_name", Model = "gen_ai_request_model";

    // Kestrel takes any token for a method; a label takes those of the conventions' list.
    private static readonly string[] KnownMethods = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

    private readonly Histogram _duration = Create(factory, "gen_ai_server_request_duration_seconds", "From a request's arrival at a model's route to the end of its answer.",
        [Operation, Model, "error_type"], 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92);

    private readonly Histogram _firstToken = Create(factory, "gen_ai_server_time_to_first_token_seconds", "From a request's arrival to its first token, of replies that ended well.",
        [Operation, Model], 0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10);

    private readonly Histogram _perToken = Create(factory, "gen_ai_server_time_per_output_token_seconds", "Mean time between two tokens of a reply that ended well, a sample a request.",
        [Operation, Model], 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5);

    private readonly Histogram _http = Create(factory, "http_server_request_duration_seconds", "From a request's arrival to the end of its answer.",
        ["method", "route", "status"], 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10);

    /// <param name="endpoint">The route's pattern.</param>
    /// <param name="outcome">As in <see cref="RequestTrace.Outcome"/>.</param>
    public void Record(string method, string endpoint, int status, string outcome, RequestTrace trace)
    {
        double seconds = trace.ElapsedSeconds;
        _http.WithLabels(KnownMethods.Contains(method) ? method : "_OTHER", endpoint, $"{status}").Observe(seconds);
        if (OperationOf(endpoint) is not { } operation)
            return;
        // The name that a client wrote is no label: only that of a model that was found.
        string model = trace.Model ?? "";
        _duration.WithLabels(operation, model, outcome == "ok" ? "" : outcome).Observe(seconds);
        if (trace.Results is not { } results || trace.FirstTokenSeconds is not { } first)
            return;
        _firstToken.WithLabels(operation, model).Observe(first);
        double tokens = (double)trace.CompletionTokens / results.Length;
        if (tokens > 1)
            _perToken.WithLabels(operation, model).Observe((seconds - first) / (tokens - 1));
    }

    private static string? OperationOf(string endpoint) => endpoint switch
    {
        "/v1/chat/completions" or "/v1/responses" or "/v1/messages" or "/api/chat" => "chat",
        "/v1/completions" or "/api/generate" or "/completion" => "text_completion",
        "/v1/embeddings" or "/api/embed" or "/api/embeddings" => "embeddings",
        _ => null,
    };

    private static Histogram Create(MetricFactory factory, string name, string help, string[] labels, params double[] buckets) =>
        factory.CreateHistogram(name, help, labels, new HistogramConfiguration { Buckets = buckets });
}
