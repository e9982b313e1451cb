namespace InferenceServer.Chat.Templates;

/// <summary>What one template may use. Templates come with models and are not trusted; the defaults leave room for thousands of messages.</summary>
public sealed record ChatTemplateLimits
{
    public static ChatTemplateLimits Default { get; } = new();

    /// <summary>Longest template source in UTF-16 units; the largest known real one has 17 thousand.</summary>
    public int MaxSourceLength { get; init; } = 1 << 20;

    /// <summary>Deepest nesting of expressions or of statements in the source. It bounds the machine stack, since both are walked recursively.</summary>
    public int MaxNesting { get; init; } = 150;

    /// <summary>Most macros, call blocks and recursive loops active at once.</summary>
    public int MaxCallDepth { get; init; } = 200;

    /// <summary>Most units of work of one render: a statement, an iteration or a call each, and long strings by their length.</summary>
    public long MaxSteps { get; init; } = 20_000_000;

    /// <summary>Longest time of one render by the clock given to it, whatever its steps.</summary>
    public TimeSpan MaxDuration { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest text that a render may produce, in UTF-16 units.</summary>
    public int MaxOutputLength { get; init; } = 16 << 20;

    /// <summary>Longest string (UTF-16 units) or list (items) that a template may build.</summary>
    public int MaxValueLength { get; init; } = 16 << 20;

    /// <summary>Most string units and list items that one render may build in all, kept or not.</summary>
    public long MaxAllocation { get; init; } = 256L << 20;

    /// <summary>Largest integer in bits.</summary>
    public int MaxIntegerBits { get; init; } = 1 << 14;
}
