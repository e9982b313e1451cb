using System.Globalization;
using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;
using InferenceServer.Llama;

namespace InferenceServer.Chat;

/// <summary>
/// Fits a conversation to what the model's template can take, and renders it. Safe from any thread. A template that refuses or fails is the
/// request's problem: it names the cause, since the client can change the messages and nobody here the template.
/// </summary>
internal sealed class ChatPromptRenderer
{
    private const int MaxTemplateBytes = 4 << 20;

    // As the marks of OutsideText no text has it.
    private const char EndOfText = '\uFDD2';

    private readonly ChatTemplate _template;
    private readonly ChatTemplateFeatures _features;
    private readonly Lazy<ReplyFormat> _replies;
    private readonly string _bos;
    private readonly string _eos;
    private readonly TimeProvider _clock;
    private readonly OutsideText _outside;

    // For conversations with tools, where the model has a template of its own for them.
    private ChatPromptRenderer? _toolUse;

    // Why the model's template cannot be used; null where it can.
    private string? _failure;

    /// <param name="controlNames">Of the vocabulary's control tokens: what reads like one in a text from outside is marked (<see cref="RenderedPrompt"/>).</param>
    public ChatPromptRenderer(ChatTemplate template, string bos, string eos, TimeProvider clock, IEnumerable<string>? controlNames = null)
    {
        _outside = new OutsideText(controlNames ?? []);
        _template = template;
        _features = template.Features;
        _replies = new(() => ReplyFormatProbe.Learn(template));
        _bos = bos;
        _eos = eos;
        _clock = clock;
    }

    /// <summary>The template, in Jinja.</summary>
    public string TemplateSource { get; private init; } = "";

    /// <summary>How the model of this template writes its replies.</summary>
    public ReplyFormat Replies => _toolUse?.Replies ?? _replies.Value;

    /// <summary>Takes the operator's template, else the model's, else ChatML. One of the model's that cannot be parsed is a note, and every chat's error.</summary>
    /// <param name="toolTemplate">The model's template for conversations with tools; null where it has none of its own.</param>
    /// <exception cref="ServerStartException">The operator's template cannot be read or parsed.</exception>
    public static ChatPromptRenderer Create(string? path, string? modelTemplate, string? toolTemplate, LlamaVocab vocab, TimeProvider clock, List<string> notes)
    {
        if (path is null && modelTemplate is null)
            notes.Add("the model has no chat template: ChatML is used; give the right one with --chat-template");
        ChatPromptRenderer Parse(string source) =>
            new(ChatTemplate.Parse(source), Name(vocab, vocab.Bos), Name(vocab, vocab.Eos), clock, ControlNames(vocab)) { TemplateSource = source };
        try
        {
            ChatPromptRenderer renderer = Parse(path is not null ? ReadFile(path) : modelTemplate ?? BuiltinTemplates.ChatMLSource);
            if (path is null && toolTemplate is not null)
                renderer._toolUse = Parse(toolTemplate);
            return renderer;
        }
        catch (TemplateException error) when (path is null)
        {
            notes.Add($"the model's chat template cannot be used, so chats are refused: {error.Message}; give another with --chat-template");
            ChatPromptRenderer renderer = Parse(BuiltinTemplates.ChatMLSource);
            renderer._failure = error.Message;
            return renderer;
        }
        catch (TemplateException error)
        {
            throw new ServerStartException($"{path} cannot be used: {error.Message}; give another with --chat-template", error);
        }
    }

    /// <summary>The prompt's text, with marks as <see cref="RenderedPrompt.Of"/> reads them.</summary>
    public string Render(ChatConversation conversation)
    {
        if (_failure is not null)
            throw RequestProblem.Invalid($"The model's chat template cannot be used: {_failure}; the server needs another, by --chat-template.", nameof(ChatRequest.Messages), "template_error");
        if (_toolUse is not null && (conversation.Tools.Count > 0 || conversation.Messages.Any(message => message.Role == ChatRole.Tool || message.ToolCalls is not null)))
            return _toolUse.Render(conversation);
        // Agents send it whatever the model is.
        if (conversation.ReasoningEffort is not (null or "none" or "medium") && !_template.Reads("reasoning_effort"))
            conversation.Adaptations?.Add("reasoning-effort-left-out");
        conversation = SayableConversation.WithSayableCharacters(conversation);
        if (conversation.ContinuesFinalMessage)
            conversation = EndWithin(conversation);
        conversation = SayableConversation.WithWholeCalls(_outside.Mark(conversation));
        if (conversation.Tools.Count > 0 || conversation.Messages.Any(message => message.Role == ChatRole.Tool || message.ToolCalls is not null))
            conversation = ToolsInText.Apply(conversation, _features, Replies.Calls is [var call, ..] ? call : KnownReplyFormats.Generic);
        conversation = SayableConversation.Of(conversation, _features);
        try
        {
            string rendered = _template.Render(Context(conversation), _clock);
            return conversation.ContinuesFinalMessage ? UpToEnd(rendered) : rendered;
        }
        catch (TemplateRaisedException refusal)
        {
            throw RequestProblem.Invalid($"The model's chat template refuses these messages: {RenderedPrompt.Of(refusal.RaisedMessage).Text}", nameof(ChatRequest.Messages), "template_refused");
        }
        catch (TemplateException error)
        {
            throw RequestProblem.Invalid($"The model's chat template cannot render these messages: {RenderedPrompt.Of(error.Message).Text}", nameof(ChatRequest.Messages), "template_error");
        }
    }

    /// <summary>What a template puts after the last message's text is told from the text by a mark at its end, which also keeps its white space.</summary>
    private static ChatConversation EndWithin(ChatConversation conversation)
    {
        if (conversation.Messages is not [.., { Role: ChatRole.Assistant, ToolCalls: null } last])
            throw RequestProblem.Invalid("The last message is to be continued: it must be the assistant's, and call nothing.", nameof(ChatRequest.Messages), "invalid_value");
        return conversation with { AddGenerationPrompt = false, Messages = [.. conversation.Messages.SkipLast(1), last with { Text = last.Text + EndOfText }] };
    }

    private static string UpToEnd(string rendered) => rendered.LastIndexOf(EndOfText) is >= 0 and var end
        ? rendered[..end]
        : throw RequestProblem.Invalid("The model's chat template does not show the last message as it is, so it cannot be continued.", nameof(ChatRequest.Messages), "template_refused");

    private TemplateDict Context(ChatConversation conversation)
    {
        TemplateDict context = new();
        context.Set("messages", Messages(conversation.Messages));
        context.Set("add_generation_prompt", conversation.AddGenerationPrompt);
        context.Set("bos_token", _bos);
        context.Set("eos_token", _eos);
        // Most templates tell "none were given" by None, which Hugging Face passes; some would go through it.
        if (conversation.Tools.Count > 0)
            context.Set("tools", new TemplateList(conversation.Tools.Select(Tool)).Freeze());
        else if (!_features.WantsToolsUndefined)
            context.Set("tools", TemplateValue.None);
        // What some templates print of themselves, and their own renderers give them.
        if (_template.Reads("functions"))
            context.Set("functions", JsonText(conversation.Tools));
        if (_template.Reads("datetime"))
            context.Set("datetime", _clock.GetUtcNow().ToString("MMM dd yyyy HH:mm:ss 'GMT'", CultureInfo.InvariantCulture));
        if (_template.Reads("date_string"))
            context.Set("date_string", _clock.GetLocalNow().ToString("dd MMM yyyy", CultureInfo.InvariantCulture));
        context.Set("documents", TemplateValue.None);
        if (conversation.ReasoningEffort is { } effort)
            context.Set("reasoning_effort", effort);
        // Whoever wants no reasoning says so to templates that only know a switch; the request's own arguments come after and win.
        if (conversation.ReasoningEffort == "none")
            foreach (string name in (ReadOnlySpan<string>)["enable_thinking", "thinking"])
                if (_template.Reads(name))
                    context.Set(name, false);
        foreach ((string name, JsonElement value) in conversation.TemplateArguments ?? new Dictionary<string, JsonElement>())
        {
            if (name is "messages" or "add_generation_prompt" or "bos_token" or "eos_token" or "tools" or "documents")
                throw RequestProblem.Invalid("{where} is set by the server.", $"{nameof(ChatRequest.TemplateArguments)}.{name}", "invalid_value");
            context.Set(name, TemplateValue.FromJson(value));
        }

        return context;
    }

    /// <summary>A definition as clients write it. Templates look for a description and for parameters without asking whether they are there.</summary>
    private static TemplateValue Tool(ChatTool tool)
    {
        TemplateValue parameters = tool.Parameters is { } schema ? TemplateValue.FromJson(schema) : NoParameters;
        return TemplateDict.Of(("type", "function"), ("function", TemplateDict.Of(
            ("name", tool.Name), ("description", tool.Description ?? ""), ("parameters", parameters))));
    }

    /// <summary>The functions as JSON, for templates that print it as it is.</summary>
    private static string JsonText(IReadOnlyList<ChatTool> tools) => $"[{string.Join(", ", tools.Select(ToolsInText.Definition))}]";

    private static TemplateValue NoParameters { get; } = TemplateDict.Of(("type", "object"), ("properties", new TemplateDict().Freeze()));

    private TemplateList Messages(IReadOnlyList<ChatMessage> messages)
    {
        TemplateList list = new(messages.Count);
        foreach (ChatMessage message in messages)
            list.Add(Message(message));
        return list.Freeze();
    }

    private TemplateDict Message(ChatMessage message)
    {
        string? content = message.Text;
        TemplateDict dict = new();
        dict.Set("role", message.Role.Name());
        dict.Set("content", content is null ? (_features.TakesToolCalls && _features.TakesCallsWithoutContent ? TemplateValue.None : "") : Content(content));
        if (message.AuthorName is not null)
            dict.Set("name", message.AuthorName);
        if (message.ToolCallId is not null)
            dict.Set("tool_call_id", message.ToolCallId);
        if (message.Reasoning is not null)
            dict.Set("reasoning_content", message.Reasoning);
        // gpt-oss's template has its own name for it, and refuses it beside content in a message that calls.
        if (message.Reasoning is not null && _features.ReasoningField is { } field && (message.ToolCalls is null || string.IsNullOrEmpty(content)))
            dict.Set(field, message.Reasoning);
        if (message.ToolCalls is { } calls)
            dict.Set("tool_calls", new TemplateList(calls.Select(ToolCall)).Freeze());
        return dict.Freeze();
    }

    private TemplateValue Content(string text) => _features.TakesTextContent || !_features.TakesContentParts
        ? text
        : new TemplateList([TemplateDict.Of(("type", "text"), ("text", text))]).Freeze();

    private TemplateValue ToolCall(ChatToolCall call)
    {
        TemplateValue arguments = call.Arguments;
        if (!_features.WantsArgumentsAsText)
        {
            using JsonDocument parsed = JsonDocument.Parse(call.Arguments);
            arguments = TemplateValue.FromJson(parsed.RootElement);
        }

        return TemplateDict.Of(("id", call.Id), ("type", "function"), ("function", TemplateDict.Of(("name", call.Name), ("arguments", arguments))));
    }

    private static IEnumerable<string> ControlNames(LlamaVocab vocab)
    {
        for (int token = 0; token < vocab.Count; token++)
            if (vocab.TokenBytes(token).IsEmpty || vocab.IsEndOfGeneration(token))
                yield return Encoding.UTF8.GetString(vocab.TokenBytes(token, special: true));
    }

    private static string Name(LlamaVocab vocab, int? token) => token is { } known ? Encoding.UTF8.GetString(vocab.TokenBytes(known, special: true)) : "";

    private static string ReadFile(string path)
    {
        try
        {
            FileInfo file = new(path);
            if (file.Exists && file.Length > MaxTemplateBytes)
                throw new ServerStartException($"--chat-template {path} has {file.Length} bytes, more than a template can have");
            return File.ReadAllText(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ServerStartException($"--chat-template {path} cannot be read: {error.Message}", error);
        }
    }
}
