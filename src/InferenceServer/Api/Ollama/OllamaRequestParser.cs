using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.Ollama;

/// <summary>
/// A request in this dialect, translated: a chat, or a text that goes without the template; neither where nothing is asked but that the model be loaded.
/// </summary>
/// <param name="Model">As the client wrote it.</param>
/// <param name="Thinks">True and false where the client said so.</param>
internal sealed record OllamaCall(string Model, bool Stream, bool ReportsTiming, ChatRequest? Chat, TextRequest? Text, bool? Thinks, bool Logprobs)
{
    /// <summary>How long a model that was loaded on demand stays after it; null for the usual time, <see cref="Timeout.InfiniteTimeSpan"/> for ever.</summary>
    public TimeSpan? KeepAlive { get; init; }

    public bool Unloads => KeepAlive == TimeSpan.Zero;
}

/// <summary>JSON body to a request. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class OllamaRequestParser
{
    private static readonly JsonElement True = JsonDocument.Parse("true").RootElement.Clone();
    private static readonly JsonElement False = JsonDocument.Parse("false").RootElement.Clone();

    public static OllamaCall ParseChat(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string name = body.RequireString("model");
        List<ChatMessage> messages = OllamaMessages.Read(body, ignored);
        ChatRequest chat = ReadThinking(body, new ChatRequest { Messages = messages, ContinuesFinalMessage = messages is [.., { Role: ChatRole.Assistant, ToolCalls: null }], Options = OllamaOptionReader.Read(body, ignored) }, out bool? thinks);
        chat = ToolReader.Read(body, chat, ignored);
        chat = chat with { Options = chat.Options with { Constraint = ReadFormat(body), TopLogprobs = ReadLogprobs(body) } };
        bool stream = body.Boolean("stream") ?? true, timing = body.Boolean("timing") ?? false;
        TimeSpan? keepAlive = ReadRest(body, ignored);
        return new(name, stream, timing, messages.Count == 0 ? null : chat, null, thinks, chat.Options.TopLogprobs is not null) { KeepAlive = keepAlive };
    }

    public static OllamaCall ParseGenerate(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string name = body.RequireString("model");
        bool raw = body.Boolean("raw") ?? false;
        // What goes without the template is what the client says, to the letter.
        string prompt = (raw ? body.String("prompt") : body.Said("prompt")) ?? "";
        string? suffix = body.String("suffix") is { Length: > 0 } given ? given : null;
        string? system = body.Said("system") is { Length: > 0 } instructions ? instructions : null;
        if (body.String("template") is { Length: > 0 })
            throw RequestProblem.Unsupported("template", "the server's start decides on it (--chat-template); with 'raw' the prompt needs none.");
        if (body.Array("context", 0, int.MaxValue) is { Count: > 0 })
            throw RequestProblem.Unsupported("context", "use /api/chat, which takes the messages so far.");
        OllamaMessages.RefuseImages(body);
        if (raw && system is not null)
            throw RequestProblem.Invalid("{where} and 'raw' cannot both be given: there is no template to put it into.", "system", "invalid_value");
        ChatMessage user = new() { Role = ChatRole.User, Text = prompt };
        ChatRequest chat = ReadThinking(body, new ChatRequest
        {
            Messages = system is null ? [user] : [new ChatMessage { Role = ChatRole.System, Text = system }, user],
            Options = OllamaOptionReader.Read(body, ignored),
        }, out bool? thinks);
        GenerationOptions options = chat.Options with { Constraint = ReadFormat(body), TopLogprobs = ReadLogprobs(body) };
        bool stream = body.Boolean("stream") ?? true, timing = body.Boolean("timing") ?? false;
        TimeSpan? keepAlive = ReadRest(body, ignored);
        OllamaCall call = new(name, stream, timing, null, null, thinks, options.TopLogprobs is not null) { KeepAlive = keepAlive };
        if (prompt.Length == 0 && suffix is null)
            return call;
        if (!raw && suffix is null)
            return call with { Chat = chat with { Options = options } };
        return thinks != true
            ? call with { Text = new TextRequest { Prompts = [new TextPrompt(prompt, null)], Suffix = suffix, ParsesSpecial = raw, Options = options } }
            : throw RequestProblem.Invalid("{where} cannot be given beside 'raw' or 'suffix': there is no template to ask for it.", "think", "invalid_value");
    }

    private static ChatRequest ReadThinking(JsonFields body, ChatRequest chat, out bool? thinks)
    {
        thinks = null;
        if (body.Take("think") is not { } think)
            return chat;
        if (think.ValueKind == JsonValueKind.String)
        {
            thinks = true;
            chat = chat with { ReasoningEffort = body.OneOf("think", "low", "medium", "high", "max") };
        }
        else
            thinks = JsonValue.Boolean(think, "think");
        return chat with { TemplateArguments = new Dictionary<string, JsonElement> { ["enable_thinking"] = thinks.Value ? True : False } };
    }

    private static ConstraintSource? ReadFormat(JsonFields body)
    {
        if (body.Take("format") is not { } format)
            return null;
        if (format.ValueKind != JsonValueKind.String)
            return JsonValue.Schema(format, "format");
        return JsonValue.String(format, "format") switch
        {
            "" => null,
            "json" => ConstraintSource.JsonObject("format"),
            var name => throw JsonValue.NotOneOf("format", name, ["json", "a JSON Schema as an object"]),
        };
    }

    private static int? ReadLogprobs(JsonFields body)
    {
        bool asked = body.Boolean("logprobs") ?? false;
        int? top = body.Integer("top_logprobs", 0, 20);
        if (top > 0 && !asked)
            throw RequestProblem.Invalid("{where} needs 'logprobs' to be true.", "top_logprobs", "invalid_value");
        return asked ? top ?? 0 : null;
    }

    /// <summary>What holds here whether it is asked for or not.</summary>
    /// <returns>How long the model is to stay.</returns>
    private static TimeSpan? ReadRest(JsonFields body, List<string> ignored)
    {
        TimeSpan? keepAlive = KeepAliveReader.Read(body);
        body.Boolean("truncate");
        body.Boolean("shift");
        body.Close(ignored);
        return keepAlive;
    }
}
