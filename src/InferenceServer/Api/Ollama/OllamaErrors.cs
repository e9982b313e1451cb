using System.Text.Json;

namespace InferenceServer.Api.Ollama;

/// <summary>Errors in Ollama's shape: one text, which names fields as this dialect does.</summary>
internal static class OllamaErrors
{
    private static readonly FieldNames Names = new(("ReasoningEffort", "think"));

    public static ErrorShape Shape { get; } = new(
        request => request.Path.StartsWithSegments("/api"), Names,
        (_, problem) => JsonSerializer.SerializeToUtf8Bytes(Response(problem), OllamaJson.Wire.OllamaError))
    { Event = body => body + "\n" };

    public static OllamaError Response(RequestProblem problem)
    {
        string? name = Names.Of(problem.Where);
        if (problem.Overflow is { } overflow)
            return new($"the input length exceeds the context length: '{name}' has {(overflow.IsAtLeast ? "at least " : "")}{overflow.Tokens} tokens, and the context has {overflow.ContextLength}");
        string message = problem.MessageAt(name);
        return new(name is null || message.Contains(name, StringComparison.Ordinal) ? message : $"{name}: {message}");
    }
}
