// A chat template ready to render: parsed and bound once, then rendered by any thread at any time. Its source is untrusted, and bounded in all it does.

namespace InferenceServer.Chat.Templates;

/// <summary>A Jinja chat template under Hugging Face's settings, as model files carry it in <c>tokenizer.chat_template</c>. Thread-safe.</summary>
public sealed class ChatTemplate
{
    private readonly Body _body;
    private readonly FunctionLayout _layout;
    private readonly ScopeEntry _entry;
    private readonly string[] _contextNames;
    private readonly bool _hasBlocks;
    private readonly ChatTemplateLimits _limits;
    private readonly Lazy<ChatTemplateFeatures> _features;

    private ChatTemplate(string source, Body body, ChatTemplateLimits limits)
    {
        Source = source;
        _body = body;
        _limits = limits;
        (_layout, _entry, _contextNames) = Binder.Bind(body);
        _hasBlocks = body.Statements.Any(HasBlock);
        Variables = [.. _contextNames.Where(name => !Globals.TryGet(name, out _)).Order(StringComparer.Ordinal)];
        _features = new Lazy<ChatTemplateFeatures>(() => ChatTemplateFeatures.Probe(this));
    }

    /// <summary>The source as it was given.</summary>
    public string Source { get; }

    /// <summary>The context variables that the template reads anywhere (<c>messages</c>, <c>tools</c>, <c>enable_thinking</c>…), sorted.</summary>
    public IReadOnlyList<string> Variables { get; }

    /// <summary>What the template can take; found by a few trial renders, once.</summary>
    public ChatTemplateFeatures Features => _features.Value;

    /// <exception cref="TemplateException">The source is not a template that can run: the cause, its line and column.</exception>
    public static ChatTemplate Parse(string source, ChatTemplateLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        limits ??= ChatTemplateLimits.Default;
        if (source.Length > limits.MaxSourceLength)
            throw new TemplateException($"the template has {source.Length} characters, over the limit of {limits.MaxSourceLength}");
        return new ChatTemplate(source, Parser.Parse(Lexer.Normalize(source), limits.MaxNesting), limits);
    }

    /// <summary>Whether the template reads the context variable of this name.</summary>
    public bool Reads(string variable) => Variables.Contains(variable);

    /// <summary>Renders the template.</summary>
    /// <param name="context">The variables: messages, tools, add_generation_prompt, bos_token…</param>
    /// <param name="clock">What strftime_now() and the limit of time go by.</param>
    /// <exception cref="TemplateRaisedException">The template refuses this context by raise_exception().</exception>
    /// <exception cref="TemplateException">The template is at fault, or the context does not fit it, or a limit is passed.</exception>
    public string Render(TemplateDict context, TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(clock);
        TemplateValue[] values = new TemplateValue[_contextNames.Length];
        RenderState state = new(_limits, clock, context, values);
        for (int i = 0; i < values.Length; i++)
            values[i] = state.Resolve(_contextNames[i]);
        if (_hasBlocks)
            state.Exported = new TemplateDict();
        Frame frame = new(state, _layout.SlotCount, null);
        _entry.Enter(frame);
        _body.Execute(frame);
        return state.Output.ToString();
    }

    private static bool HasBlock(Statement statement) =>
        statement is BlockStatement || statement.Bodies.Any(body => body.Statements.Any(HasBlock));
}
