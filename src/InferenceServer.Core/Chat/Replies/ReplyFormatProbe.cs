// Learns how a model writes its replies from its chat template: renders turns whose reasoning, content and calls are known and finds what stands around
// them. What a template does not print is looked up by its markers (KnownReplyFormats). Runs once per model, a few dozen renders of a few messages.

using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat.Replies;

/// <summary>Learns a <see cref="ReplyFormat"/>.</summary>
public static class ReplyFormatProbe
{
    /// <summary>How the model of this template replies. Never fails: what cannot be learned is left out, and calls get a generic notation.</summary>
    public static ReplyFormat Learn(ChatTemplate template)
    {
        ArgumentNullException.ThrowIfNull(template);
        ProbeRenderer render = new(template);
        if (KnownReplyFormats.IsHarmony(render.Prompt, template.Source))
            return KnownReplyFormats.Harmony;
        (ReplyFormat format, string turnEnd) = new TurnProbe(render, template.Source).Learn();
        if (new CallProbe(render, format, turnEnd).Learn() is { } learned)
        {
            // Where the prompt opens a call, content is one of the things that may follow.
            if (learned.InPrompt && format.ContentOpen.Length > 0)
                format = format with { ContentOpen = learned.Format.Open + format.ContentOpen, Skipped = [learned.Format.Open + format.ContentOpen] };
            return format with
            {
                Calls = [learned.Format, .. KnownReplyFormats.AlsoRead(learned.Format, template.Source)],
                ParallelCalls = learned.Parallel,
                PromptOpensCall = learned.InPrompt,
            };
        }

        ToolCallFormat known = KnownReplyFormats.FindCalls(template.Source) ?? KnownReplyFormats.Generic;
        return format with { Calls = [known] };
    }
}

/// <summary>Renders conversations for probing: one user message, then a turn of the assistant.</summary>
internal sealed class ProbeRenderer
{
    // Words that no template prints of itself. They are plain, so that no notation escapes them.
    public const string User = "qzxuser";
    public const string Content = "qzxcontent";
    public const string Reasoning = "qzxthought";

    private readonly ChatTemplate _template;

    public ProbeRenderer(ChatTemplate template)
    {
        _template = template;
        Prompt = Render([], generate: true) ?? "";
    }

    /// <summary>What follows the user's message in a prompt that awaits a reply.</summary>
    public string Prompt { get; }

    /// <summary>What follows the user's message when the assistant has answered; null when the template refuses such a turn.</summary>
    public string? Turn(TemplateValue content, string? reasoning = null, TemplateValue? calls = null)
    {
        TemplateDict message = new();
        message.Set("role", "assistant");
        message.Set("content", content);
        if (reasoning is not null)
            foreach (string name in (ReadOnlySpan<string>)["reasoning_content", "reasoning", "thinking"])
                message.Set(name, reasoning);
        if (calls is { } given)
            message.Set("tool_calls", given);
        return Render([message], generate: false);
    }

    /// <summary>A turn that only calls tools, its content absent, or empty where the template fails on that or prints it.</summary>
    public string? CallTurn(TemplateValue calls, string? reasoning = null)
    {
        string? turn = Turn(TemplateValue.None, reasoning, calls);
        return turn?.Contains("None", StringComparison.Ordinal) == false ? turn : Turn("", reasoning, calls);
    }

    // Some templates fail on tools, and print calls all the same.
    private string? Render(TemplateDict[] turn, bool generate) => Render(turn, generate, Tools()) ?? Render(turn, generate, TemplateValue.None);

    private string? Render(TemplateDict[] turn, bool generate, TemplateValue tools)
    {
        TemplateDict context = new();
        context.Set("messages", new TemplateList([TemplateDict.Of(("role", "user"), ("content", User)), .. turn]).Freeze());
        context.Set("add_generation_prompt", generate);
        context.Set("bos_token", "<s>");
        context.Set("eos_token", "</s>");
        context.Set("tools", tools);
        try
        {
            string text = _template.Render(context, TimeProvider.System);
            int user = text.LastIndexOf(User, StringComparison.Ordinal);
            return user < 0 ? null : text[(user + User.Length)..];
        }
        catch (TemplateException)
        {
            // Refused or failed: the template does not take such a turn.
            return null;
        }
    }

    private static TemplateList Tools() => new TemplateList([TemplateDict.Of(("type", "function"), ("function", TemplateDict.Of(
        ("name", "probe"),
        ("description", "A probe."),
        ("parameters", TemplateDict.Of(
            ("type", "object"),
            ("properties", TemplateDict.Of(("x", TemplateDict.Of(("type", "string"), ("description", "X."))))),
            ("required", new TemplateList([(TemplateValue)"x"]).Freeze()))))))]).Freeze();
}
