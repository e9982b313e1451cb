using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Completions;
using InferenceServer.Models;

namespace InferenceServer.Api.Ollama;

/// <summary>
/// A request in this dialect, translated: a chat, or a text that goes without the template; neither where nothing is asked but that the model be loaded.
/// </summary>
/// <param name="Model">As the client wrote it.</param>
/// <param name="Thinks">True and false where the client said so.</param>
internal sealed record OllamaCall(string Model, bool Stream, ChatCompletionRequest? Chat, CompletionRequest? Text, bool? Thinks, int? TopLogprobs);

/// <summary>JSON body to a request. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class OllamaRequestParser
{
    private static readonly JsonElement True = JsonDocument.Parse("true").RootElement.Clone();
    private static readonly JsonElement False = JsonDocument.Parse("false").RootElement.Clone();

    /// <summary>A name without the tag that every model here has.</summary>
    public static string IdOf(string name) => name.EndsWith(":latest", StringComparison.Ordinal) ? name[..^":latest".Length] : name;

    public static OllamaCall ParseChat(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string name = body.RequireString("model");
        List<ChatMessage> messages = OllamaMessages.Read(body, ignored);
        ChatCompletionRequest chat = ReadThinking(body, OllamaOptionReader.Read(body, new ChatCompletionRequest { Model = IdOf(name), Messages = messages }, ignored), out bool? thinks);
        chat = ToolParser.Read(body, chat, ignored);
        chat = chat with { Constraint = ReadFormat(body), Stream = body.Boolean("stream") ?? true, Timing = body.Boolean("timing") ?? false };
        int? top = ReadLogprobs(body);
        ReadRest(body, ignored);
        return new(name, chat.Stream, messages.Count == 0 ? null : chat with { Logprobs = top is not null, TopLogprobs = top }, null, thinks, top);
    }

    public static OllamaCall ParseGenerate(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string name = body.RequireString("model");
        string prompt = body.String("prompt") ?? "";
        string? suffix = body.String("suffix") is { Length: > 0 } given ? given : null;
        string? system = body.String("system") is { Length: > 0 } instructions ? instructions : null;
        bool raw = body.Boolean("raw") ?? false;
        if (body.String("template") is { Length: > 0 })
            throw ApiException.Unsupported("template", "the server's start decides on it (--chat-template); with 'raw' the prompt needs none.");
        if (body.Array("context", 0, int.MaxValue) is { Count: > 0 })
            throw ApiException.Unsupported("context", "use /api/chat, which takes the messages so far.");
        OllamaMessages.RefuseImages(body);
        if (raw && system is not null)
            throw ApiException.InvalidValue("'system' and 'raw' cannot both be given: there is no template to put it into.", "system", "invalid_value");
        ChatMessage user = new() { Role = "user", Content = prompt };
        ChatCompletionRequest chat = ReadThinking(body, OllamaOptionReader.Read(body, new ChatCompletionRequest
        {
            Model = IdOf(name),
            Messages = system is null ? [user] : [new ChatMessage { Role = "system", Content = system }, user],
            Stream = body.Boolean("stream") ?? true,
            Timing = body.Boolean("timing") ?? false,
        }, ignored), out bool? thinks);
        ConstraintSource? format = ReadFormat(body);
        int? top = ReadLogprobs(body);
        ReadRest(body, ignored);
        if (prompt.Length == 0 && suffix is null)
            return new(name, chat.Stream, null, null, thinks, top);
        if (!raw && suffix is null)
            return new(name, chat.Stream, chat with { Constraint = format, Logprobs = top is not null, TopLogprobs = top }, null, thinks, top);
        if (thinks == true)
            throw ApiException.InvalidValue("'think' cannot be given beside 'raw' or 'suffix': there is no template to ask for it.", "think", "invalid_value");
        return new(name, chat.Stream, null, AsText(chat, prompt, suffix) with { Constraint = format, Logprobs = top }, thinks, top);
    }

    private static CompletionRequest AsText(ChatCompletionRequest chat, string prompt, string? suffix) => new()
    {
        Model = chat.Model,
        Prompt = [new CompletionPrompt(prompt, null)],
        Suffix = suffix,
        MaxTokens = chat.MaxTokens,
        Stop = chat.Stop,
        Seed = chat.Seed,
        Temperature = chat.Temperature,
        TopP = chat.TopP,
        TopK = chat.TopK,
        MinP = chat.MinP,
        TypicalP = chat.TypicalP,
        PresencePenalty = chat.PresencePenalty,
        FrequencyPenalty = chat.FrequencyPenalty,
        RepetitionPenalty = chat.RepetitionPenalty,
        Stream = chat.Stream,
        Timing = chat.Timing,
    };

    private static ChatCompletionRequest ReadThinking(JsonFields body, ChatCompletionRequest chat, out bool? thinks)
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
        return chat with { ChatTemplateKwargs = new Dictionary<string, JsonElement> { ["enable_thinking"] = thinks.Value ? True : False } };
    }

    private static ConstraintSource? ReadFormat(JsonFields body)
    {
        if (body.Take("format") is not { } format)
            return null;
        if (format.ValueKind != JsonValueKind.String)
            return ConstraintReader.JsonSchema(format, "format");
        return JsonValue.String(format, "format") switch
        {
            "" => null,
            "json" => ConstraintReader.JsonObject("format"),
            var name => throw JsonValue.NotOneOf("format", name, ["json", "a JSON Schema as an object"]),
        };
    }

    private static int? ReadLogprobs(JsonFields body)
    {
        bool asked = body.Boolean("logprobs") ?? false;
        int? top = body.Integer("top_logprobs", 0, 20);
        if (top > 0 && !asked)
            throw ApiException.InvalidValue("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs", "invalid_value");
        return asked ? top ?? 0 : null;
    }

    /// <summary>What holds here whether it is asked for or not.</summary>
    private static void ReadRest(JsonFields body, List<string> ignored)
    {
        if (body.Take("keep_alive") is { ValueKind: not (JsonValueKind.String or JsonValueKind.Number) } wrong)
            throw JsonValue.WrongType(wrong, "keep_alive", "a number of seconds, or a text such as \"5m\"");
        body.Boolean("truncate");
        body.Boolean("shift");
        body.Close(ignored);
    }
}
