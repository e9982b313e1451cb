using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;

namespace InferenceServer.Api.Ollama;

/// <summary>What the bodies of POST /api/chat and /api/generate have in common, for the OpenAPI document; <see cref="OllamaRequestParser"/> reads them.</summary>
public abstract record OllamaReplyRequest
{
    [Description("Name of the loaded model, as /api/tags lists it; ':latest' may be left out.")]
    public required string Model { get; init; }

    [Description("Send a line of JSON for each piece of the reply.")]
    public bool Stream { get; init; } = true;

    [Description("\"json\", or a JSON Schema that the reply is held to while it is generated.")]
    [JsonShape("""{"anyOf":[{"type":"string","enum":["json",""]},{"type":"object","additionalProperties":{}}]}""")]
    public JsonElement? Format { get; init; }

    public OllamaOptions? Options { get; init; }

    [Description("true, false, or \"low\", \"medium\", \"high\": reaches the chat template as enable_thinking and reasoning_effort. Absent leaves it to the template.")]
    [JsonShape("""{"anyOf":[{"type":"boolean"},{"type":"string","enum":["low","medium","high","max"]}]}""")]
    public JsonElement? Think { get; init; }

    [Description("Accepted: the model stays loaded as long as the server runs. Without a prompt 0 is answered with done_reason unload, as at Ollama.")]
    [JsonShape("""{"anyOf":[{"type":"number"},{"type":"string"}]}""")]
    public JsonElement? KeepAlive { get; init; }

    [Description("Report the log probability of every token of the reply.")]
    public bool Logprobs { get; init; }

    [Description("How many of the most likely tokens to report at each position; needs logprobs.")]
    [Range(0, 20)]
    public int? TopLogprobs { get; init; }

    [Description("Accepted: a prompt that does not fit is refused, never cut.")]
    public bool? Truncate { get; init; }

    [Description("Accepted: a reply that fills the context ends with done_reason length.")]
    public bool? Shift { get; init; }

    [Description("Extra: say in timing how long the request waited and how many sequences were computed beside it.")]
    public bool Timing { get; init; }
}

/// <summary>The body of POST /api/chat.</summary>
public sealed record OllamaChatRequest : OllamaReplyRequest
{
    [Description("The conversation so far, oldest first; without any the answer says that the model is loaded.")]
    public IReadOnlyList<OllamaMessage>? Messages { get; init; }

    [Description("Functions that the model may call, as OpenAI defines them.")]
    public IReadOnlyList<OllamaTool>? Tools { get; init; }
}

/// <summary>The body of POST /api/generate.</summary>
public sealed record OllamaGenerateRequest : OllamaReplyRequest
{
    [Description("What the user says, or with raw the text to continue; without one the answer says that the model is loaded.")]
    public string? Prompt { get; init; }

    [Description("A text to end up at: the model fills in what belongs between, if it has the tokens for that.")]
    public string? Suffix { get; init; }

    [Description("The system message.")]
    public string? System { get; init; }

    [Description("The prompt is the whole text, without the chat template.")]
    public bool Raw { get; init; }
}

/// <summary>Sampling. Options that belong to loading a model (num_ctx, num_gpu, num_thread, ...) are listed in x-ignored-params: the start decided on them.</summary>
public sealed record OllamaOptions : SamplingParameters
{
    [Description("Most tokens to generate; 0 and less for no limit but the context.")]
    public int? NumPredict { get; init; }

    [Range(0, 100)]
    public float Temperature { get; init; } = 0.8f;

    public int TopK { get; init; } = 40;

    [Range(0, 1)]
    public float TopP { get; init; } = 0.9f;

    [Range(0, 1)]
    public float MinP { get; init; }

    [Range(0, 1)]
    public float TypicalP { get; init; } = 1;

    [Description("1 or 2 steers the reply's surprise by that version of Mirostat, in the place of penalties and whatever drops tokens; 0 does not.")]
    [Range(0, 2)]
    public int Mirostat { get; init; }

    [Range(0, 100)]
    public float MirostatTau { get; init; } = 5;

    [Range(0, 10)]
    public float MirostatEta { get; init; } = 0.1f;

    [Description("-1 for a new one each time.")]
    public long Seed { get; init; } = -1;

    [Description("Texts that end the reply.")]
    public IReadOnlyList<string>? Stop { get; init; }

    [Description("1 changes nothing, and is the default here; looks at all tokens so far.")]
    [Range(0.01, 100)]
    public float RepeatPenalty { get; init; } = 1;

    [Description("-1 for all tokens, which is what penalties look at; 0 turns repeat_penalty off. Others only beside a repeat_penalty of 1.")]
    public int? RepeatLastN { get; init; }

    [Range(-2, 2)]
    public float PresencePenalty { get; init; }

    [Range(-2, 2)]
    public float FrequencyPenalty { get; init; }
}

public sealed record OllamaMessage(
    [property: AllowedValues("system", "user", "assistant", "tool")] string Role,
    string? Content)
{
    [Description("What an assistant thought before this reply.")]
    public string? Thinking { get; init; }

    public IReadOnlyList<OllamaToolCall>? ToolCalls { get; init; }

    [Description("For role tool: the function whose result this is.")]
    public string? ToolName { get; init; }

    [Description("For role tool: the call that this answers; else the first call without an answer.")]
    public string? ToolCallId { get; init; }
}

public sealed record OllamaToolCall(string? Id, OllamaFunctionCall Function);

public sealed record OllamaFunctionCall(
    [property: Description("Which call of the reply.")] int? Index,
    string Name,
    [property: Description("An object."), JsonShape(JsonShapes.AnyObject)] JsonElement Arguments);

/// <summary>A function that the model may call, in OpenAI's form.</summary>
public sealed record OllamaTool(
    [property: AllowedValues("function")] string Type,
    OllamaToolFunction Function);

public sealed record OllamaToolFunction(
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    [property: Description("What the function does and when to call it, for the model.")] string? Description = null,
    [property: Description("JSON schema of the arguments, an object; absent for none."), JsonShape(JsonShapes.AnyObject)] JsonElement? Parameters = null,
    [property: Description("Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it.")] bool? Strict = null);
