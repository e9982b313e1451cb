using System.Text.Json;

namespace InferenceServer.Api.LlamaServer;

/// <summary>Errors in llama-server's shape.</summary>
internal static class LlamaServerErrors
{
    private static readonly FieldNames Names = FieldNames.OpenAI;

    public static ErrorShape Shape { get; } = new(
        request => request.Path.StartsWithSegments("/completion") || request.Path.StartsWithSegments("/props"), Names,
        (_, problem) => JsonSerializer.SerializeToUtf8Bytes(Of(problem), LlamaServerJson.Wire.LlamaError));

    public static LlamaError Of(RequestProblem problem)
    {
        string? name = Names.Of(problem.Where);
        string message = problem.MessageAt(name);
        return new(new(ErrorWriter.StatusOf(problem.Kind), name is null || message.Contains(name, StringComparison.Ordinal) ? message : $"{name}: {message}", TypeOf(problem)));
    }

    private static string TypeOf(RequestProblem problem) => problem.Kind switch
    {
        _ when problem.Overflow is not null => "exceed_context_size_error",
        ProblemKind.Unauthorized => "authentication_error",
        ProblemKind.Forbidden => "permission_error",
        ProblemKind.NotFound => "not_found_error",
        ProblemKind.Busy or ProblemKind.Unavailable => "unavailable_error",
        ProblemKind.NotBuilt => "not_supported_error",
        ProblemKind.Failed or ProblemKind.StorageFull or ProblemKind.DeadlineExceeded => "server_error",
        _ => "invalid_request_error",
    };
}
