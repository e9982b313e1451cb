using System.ComponentModel;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.Ollama;

/// <summary>A whole answer of POST /api/chat, or one line of a streamed one.</summary>
public sealed record OllamaChatAnswer(string Model, string CreatedAt, OllamaMessage Message) : OllamaReply;

/// <summary>A whole answer of POST /api/generate, or one line of a streamed one.</summary>
public sealed record OllamaGenerateAnswer(string Model, string CreatedAt, string Response) : OllamaReply
{
    public string? Thinking { get; init; }
}

/// <summary>How a reply goes on or ended. Durations are measured, in nanoseconds; there with the last line only.</summary>
public abstract record OllamaReply
{
    [JsonPropertyOrder(1)]
    public bool Done { get; init; }

    [JsonPropertyOrder(1)]
    [Description("stop or length; load where nothing was asked, and unload where keep_alive was 0 besides.")]
    public string? DoneReason { get; init; }

    [JsonPropertyOrder(1)]
    public IReadOnlyList<ReportedLogprob>? Logprobs { get; init; }

    [JsonPropertyOrder(1)]
    [Description("From the request's arrival.")]
    public long? TotalDuration { get; init; }

    [JsonPropertyOrder(1)]
    [Description("0: the model was loaded before the server took requests.")]
    public long? LoadDuration { get; init; }

    [JsonPropertyOrder(1)]
    [Description("Tokens of the prompt, whether computed or found in a cache.")]
    public int? PromptEvalCount { get; init; }

    [JsonPropertyOrder(1)]
    [Description("From the first step that worked on the request to its first token.")]
    public long? PromptEvalDuration { get; init; }

    [JsonPropertyOrder(1)]
    public int? EvalCount { get; init; }

    [JsonPropertyOrder(1)]
    [Description("From the first token to the last.")]
    public long? EvalDuration { get; init; }

    [JsonPropertyOrder(1)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }
}

/// <summary>The answer of GET /api/tags.</summary>
public sealed record OllamaModelList(IReadOnlyList<OllamaModel> Models);

public sealed record OllamaModel(
    string Name, string Model, string ModifiedAt,
    [property: Description("Bytes of the weights.")] long Size,
    [property: Description("Tells one file from another: over its header and samples of its data.")] string Digest,
    OllamaModelDetails Details);

public sealed record OllamaModelDetails(
    string ParentModel, string Format, string Family, IReadOnlyList<string> Families,
    [property: Description("Such as 5.5M.")] string ParameterSize,
    [property: Description("How most of the weights are stored.")] string QuantizationLevel);

/// <summary>The answer of GET /api/ps.</summary>
public sealed record OllamaRunningList(IReadOnlyList<OllamaRunningModel> Models);

public sealed record OllamaRunningModel(
    string Name, string Model, long Size, string Digest, OllamaModelDetails Details,
    [property: Description("When it leaves if nobody asks for it; the last day there is for models that stay.")] string ExpiresAt,
    [property: Description("Of size, the part that lies on GPUs, by layers.")] long SizeVram,
    int ContextLength);

/// <summary>The answer of POST /api/show.</summary>
public sealed record OllamaModelInformation(
    string Modelfile,
    [property: Description("The chat template, in Jinja.")] string Template,
    OllamaModelDetails Details,
    [property: Description("The file's own metadata: texts, numbers and booleans.")] IReadOnlyDictionary<string, JsonElement> ModelInfo,
    [property: Description("completion, tools, thinking, insert: what the model's template and tokens allow.")] IReadOnlyList<string> Capabilities,
    string ModifiedAt)
{
    public string? License { get; init; }
}

/// <summary>The body of POST /api/show.</summary>
public sealed record OllamaShowRequest(
    [property: Description("Name of the loaded model; 'name' is its former name.")] string Model);

/// <summary>The answer of GET /api/version.</summary>
public sealed record OllamaVersion(
    [property: Description("The release of Ollama whose API this is: clients look here for what they may ask.")] string Version,
    [property: Description("What really answers.")] string Server);

/// <summary>An error of this dialect.</summary>
public sealed record OllamaError([property: Description("What is wrong and where.")] string Error);

/// <summary>What this dialect sends and receives.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(OllamaChatRequest))]
[JsonSerializable(typeof(OllamaChatAnswer))]
[JsonSerializable(typeof(OllamaGenerateRequest))]
[JsonSerializable(typeof(OllamaGenerateAnswer))]
[JsonSerializable(typeof(OllamaModelList))]
[JsonSerializable(typeof(OllamaRunningList))]
[JsonSerializable(typeof(OllamaShowRequest))]
[JsonSerializable(typeof(OllamaModelInformation))]
[JsonSerializable(typeof(OllamaVersion))]
[JsonSerializable(typeof(OllamaPullRequest))]
[JsonSerializable(typeof(OllamaCreateRequest))]
[JsonSerializable(typeof(OllamaCopyRequest))]
[JsonSerializable(typeof(OllamaDeleteRequest))]
[JsonSerializable(typeof(OllamaStatus))]
[JsonSerializable(typeof(OllamaError))]
[JsonSerializable(typeof(long))]
[JsonSerializable(typeof(double))]
[JsonSerializable(typeof(bool))]
internal sealed partial class OllamaJson : JsonSerializerContext
{
    public static OllamaJson Wire { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
