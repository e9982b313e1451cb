namespace InferenceServer.Chat.Templates;

/// <summary>What a template can take. A server that knows it fits its input to the template instead of failing the request.</summary>
public sealed record ChatTemplateFeatures
{
    /// <summary>Prints content given as a string.</summary>
    public bool TakesTextContent { get; init; }

    /// <summary>Prints the texts of content given as a list of parts; else the caller joins them into a string first.</summary>
    public bool TakesContentParts { get; init; }

    /// <summary>Prints a system message; else the caller puts its text before the first user message.</summary>
    public bool TakesSystemRole { get; init; }

    /// <summary>Names the role developer, and prints such a message; a template that prints any role's name knows none. Else the caller renames the role to system.</summary>
    public bool TakesDeveloperRole { get; init; }

    /// <summary>Prints the second of two messages of instructions at the head; else the caller joins them.</summary>
    public bool TakesSeveralInstructions { get; init; }

    /// <summary>Prints instructions between turns; else the caller gives them to the user.</summary>
    public bool TakesLateInstructions { get; init; }

    /// <summary>Prints two messages of a user, and two of an assistant, in a row; else the caller joins them.</summary>
    public bool TakesEqualNeighbours { get; init; }

    /// <summary>Prints a conversation that an assistant begins; else the caller puts a user's turn before it.</summary>
    public bool TakesAssistantFirst { get; init; }

    /// <summary>Prints what a user says right after a result; else the caller puts an assistant's turn between.</summary>
    public bool TakesUserAfterResult { get; init; }

    /// <summary>Prints a conversation in which an assistant says nothing; else the caller leaves that turn out.</summary>
    public bool TakesSilentAssistant { get; init; }

    /// <summary>Prints a result whose call is not there; else the caller tells it as the user's.</summary>
    public bool TakesToolFirst { get; init; }

    /// <summary>Prints a conversation without a user; else the caller makes one of the last instructions.</summary>
    public bool TakesNoUser { get; init; }

    /// <summary>Fails where it is told of no tools by None, and not where it is told nothing.</summary>
    public bool WantsToolsUndefined { get; init; }

    /// <summary>Prints the tools given in <c>tools</c>.</summary>
    public bool TakesTools { get; init; }

    /// <summary>Prints the tool calls of an assistant message, their arguments given as a dict.</summary>
    public bool TakesToolCalls { get; init; }

    /// <summary>Wants the arguments of a tool call as JSON text: with a dict it fails or prints Python's notation.</summary>
    public bool WantsArgumentsAsText { get; init; }

    /// <summary>Prints calls beside content that is None, as clients send them; else the caller gives it an empty text.</summary>
    public bool TakesCallsWithoutContent { get; init; }

    /// <summary>Prints messages of the role tool.</summary>
    public bool TakesToolRole { get; init; }

    /// <summary>Prints an assistant message's reasoning, at least after the last user message.</summary>
    public bool TakesReasoning => ReasoningField is not null;

    /// <summary>The field of a message that it looks for reasoning in; null when in none.</summary>
    public string? ReasoningField { get; init; }

    /// <summary>Reads <c>enable_thinking</c> or <c>thinking</c>: thinking can be switched.</summary>
    public bool CanSwitchThinking { get; init; }

    // A word that no template prints of itself.
    private const string Mark = "qzx7mark";

    internal static ChatTemplateFeatures Probe(ChatTemplate template)
    {
        bool text = Prints(template, Mark, Message("user", Mark));
        bool parts = Prints(template, Mark, Message("user", Parts(Mark))) && !Prints(template, "{'type'", Message("user", Parts(Mark)));
        TemplateValue hello = text || !parts ? "Hello" : Parts("Hello");
        TemplateValue marked = text || !parts ? Mark : Parts(Mark);
        TemplateDict user = Message("user", hello);
        TemplateDict objectCall = ToolCall(Arguments(), hello);
        TemplateDict textCall = ToolCall("{\"qzx7arg\": \"" + Mark + "\"}", hello);
        bool takesObject = Prints(template, Mark, user, objectCall, ToolResult("x", hello))
            && !Prints(template, "{'qzx7arg'", user, objectCall, ToolResult("x", hello));
        bool takesText = Prints(template, Mark, user, textCall, ToolResult("x", hello));
        TemplateDict without = ToolCall(takesObject ? new TemplateDict() : "{}", TemplateValue.None), empty = ToolCall(takesObject ? new TemplateDict() : "{}", "");
        bool withoutContent = Prints(template, "probe", user, without, ToolResult("x", hello))
            && (!Prints(template, "None", user, without, ToolResult("x", hello)) || Prints(template, "None", user, empty, ToolResult("x", hello)));
        bool PrintsReasoning(string field)
        {
            TemplateDict reasoning = Message("assistant", hello);
            reasoning.Set(field, Mark);
            return Prints(template, Mark, user, reasoning) || Prints(template, Mark, user, WithReasoning(objectCall, field), ToolResult("x", hello));
        }

        return new ChatTemplateFeatures
        {
            TakesTextContent = text,
            TakesContentParts = parts,
            TakesSystemRole = Prints(template, Mark, Message("system", marked), user),
            TakesDeveloperRole = template.Source.Contains("developer", StringComparison.Ordinal) && Prints(template, Mark, Message("developer", marked), user),
            TakesSeveralInstructions = Prints(template, Mark, Message("system", hello), Message("system", marked), user)
                && Prints(template, Mark, Message("system", marked), Message("system", hello), user)
                && (!template.Source.Contains("developer", StringComparison.Ordinal) || Prints(template, Mark, Message("system", hello), Message("developer", marked), user)),
            TakesLateInstructions = Prints(template, Mark, user, Message("assistant", hello), Message("system", marked), user)
                && Prints(template, Mark, user, Message("assistant", hello), user, Message("system", marked))
                && Prints(template, Mark, Message("system", marked), user, Message("assistant", hello), Message("system", hello), user),
            TakesEqualNeighbours = Prints(template, Mark, user, Message("user", marked), Message("assistant", hello), Message("assistant", hello), user)
                && Prints(template, Mark, user, Message("user", hello), Message("assistant", hello), Message("assistant", marked), user),
            TakesAssistantFirst = Prints(template, Mark, Message("assistant", marked), user),
            TakesUserAfterResult = Prints(template, Mark, user, takesObject ? ToolCall(new TemplateDict(), hello) : ToolCall("{}", hello), ToolResult("x", hello), Message("user", marked)),
            TakesSilentAssistant = Prints(template, Mark, user, Message("assistant", ""), Message("user", marked)),
            TakesToolFirst = Prints(template, Mark, ToolResult(Mark, marked), user),
            TakesNoUser = Prints(template, Mark, Message("system", marked)),
            WantsToolsUndefined = !Prints(template, Mark, [Message("user", marked)], TemplateValue.None) && Prints(template, Mark, Message("user", marked)),
            TakesTools = Prints(template, Mark, [user], Tools()),
            TakesToolCalls = takesObject || takesText,
            WantsArgumentsAsText = takesText && !takesObject,
            TakesToolRole = Prints(template, Mark, user, takesObject ? ToolCall(new TemplateDict(), hello) : ToolCall("{}", hello), ToolResult(Mark, marked)),
            TakesCallsWithoutContent = withoutContent,
            ReasoningField = Array.Find(["reasoning_content", "thinking"], PrintsReasoning),
            CanSwitchThinking = template.Reads("enable_thinking") || template.Reads("thinking"),
        };
    }

    private static bool Prints(ChatTemplate template, string text, params TemplateDict[] messages) => Prints(template, text, messages, null);

    private static bool Prints(ChatTemplate template, string text, TemplateDict[] messages, TemplateValue? tools)
    {
        TemplateDict context = new();
        context.Set("messages", new TemplateList(messages.Select(message => TemplateValue.From(message))).Freeze());
        context.Set("add_generation_prompt", true);
        context.Set("bos_token", "<s>");
        context.Set("eos_token", "</s>");
        if (tools is TemplateValue given)
            context.Set("tools", given);
        try
        {
            return template.Render(context, TimeProvider.System).Contains(text, StringComparison.Ordinal);
        }
        catch (TemplateException)
        {
            // Refused or failed: that is the answer, the template does not take such input.
            return false;
        }
    }

    private static TemplateDict Message(string role, TemplateValue content) => TemplateDict.Of(("role", role), ("content", content));

    private static TemplateValue Parts(string text) => new TemplateList([TemplateDict.Of(("type", "text"), ("text", text))]).Freeze();

    private static TemplateDict Arguments() => TemplateDict.Of(("qzx7arg", Mark));

    private static TemplateDict ToolCall(TemplateValue arguments, TemplateValue content) => TemplateDict.Of(
        ("role", "assistant"),
        ("content", content),
        ("tool_calls", new TemplateList([TemplateDict.Of(
            ("id", "call12345"), ("type", "function"), ("function", TemplateDict.Of(("name", "probe"), ("arguments", arguments))))]).Freeze()));

    private static TemplateDict WithReasoning(TemplateDict message, string field)
    {
        TemplateDict copy = message.Copy();
        copy.Set("content", "");
        copy.Set(field, Mark);
        TemplateDict plain = ToolCall(new TemplateDict(), "");
        plain.TryGet("tool_calls", out TemplateValue calls);
        copy.Set("tool_calls", calls);
        return copy.Freeze();
    }

    private static TemplateDict ToolResult(string text, TemplateValue content) =>
        TemplateDict.Of(("role", "tool"), ("tool_call_id", "call12345"), ("name", "probe"), ("content", content.IsText ? text : content));

    private static TemplateValue Tools() => new TemplateList([TemplateDict.Of(("type", "function"), ("function", TemplateDict.Of(
        ("name", Mark),
        ("description", "A probe."),
        ("parameters", TemplateDict.Of(
            ("type", "object"),
            ("properties", TemplateDict.Of(("x", TemplateDict.Of(("type", "string"), ("description", "X."))))),
            ("required", new TemplateList([(TemplateValue)"x"]).Freeze()))))))]).Freeze();
}
