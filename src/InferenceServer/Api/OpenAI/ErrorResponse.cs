using System.ComponentModel;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI;

/// <summary>OpenAI's error body; all four keys are always there.</summary>
[Description("What went wrong. Every error of this server has this shape.")]
public sealed record ErrorResponse(ErrorBody Error)
{
    /// <summary>For every request that no other dialect claims.</summary>
    internal static ErrorShape Shape { get; } = new(_ => true, FieldNames.OpenAI, (_, problem) => JsonSerializer.SerializeToUtf8Bytes(From(problem), OpenAIJson.Wire.ErrorResponse));

    internal static ErrorResponse From(RequestProblem problem) => From(problem, FieldNames.OpenAI);

    internal static ErrorResponse From(RequestProblem problem, FieldNames names) =>
        new(new ErrorBody(Explain(problem, names), TypeOf(problem.Kind), names.Of(problem.Where), problem.Code));

    /// <summary>The problem's message, with the place under its name here; of a prompt that is too long in the words that clients look for.</summary>
    internal static string Explain(RequestProblem problem, FieldNames names)
    {
        string? place = names.Of(problem.Where);
        return problem.Overflow is { } overflow
            ? $"This model's maximum context length is {overflow.ContextLength} tokens. However, your {place} resulted in {(overflow.IsAtLeast ? "at least " : "")}{overflow.Tokens} tokens"
                + $"{(overflow.Tokens == overflow.ContextLength ? ", and the reply needs one more" : "")}. Please reduce the length of the {place}."
            : problem.MessageAt(place);
    }

    private static string TypeOf(ProblemKind kind) => kind switch
    {
        ProblemKind.Busy => "rate_limit_error",
        ProblemKind.Failed or ProblemKind.Unavailable or ProblemKind.Unreachable or ProblemKind.DeadlineExceeded or ProblemKind.StorageFull => "server_error",
        _ => "invalid_request_error",
    };
}

public sealed record ErrorBody(
    [property: Description("What is wrong and where, for people.")] string Message,
    [property: Description("The class of error.")] string Type,
    [property: Description("Path of the field to blame, or null.")] string? Param,
    [property: Description("A name for programs, or null.")] string? Code);
