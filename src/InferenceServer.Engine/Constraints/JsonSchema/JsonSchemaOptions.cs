namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>Where optional whitespace may stand in the JSON that a schema produces.</summary>
public enum JsonWhitespace
{
    /// <summary>Nowhere.</summary>
    None,

    /// <summary>One space after a colon; after an opening bracket or comma and before a closing bracket one space, or a newline and up to 20 spaces or tabs.</summary>
    Bounded,
}

/// <summary>How a schema is turned into a constraint.</summary>
public sealed record JsonSchemaOptions
{
    public static JsonSchemaOptions Default { get; } = new();

    public JsonWhitespace Whitespace { get; init; } = JsonWhitespace.Bounded;

    /// <summary>What an object without <c>additionalProperties</c> allows beside its declared properties; the specification says anything.</summary>
    public bool AllowUndeclaredProperties { get; init; } = true;

    /// <summary>Whether the value must be an object besides, as the arguments of a call are.</summary>
    public bool RootIsObject { get; init; }

    /// <summary>
    /// Given the JSON pointer of each place that cannot be enforced, which is then left open: whatever validates is still accepted.
    /// Null to refuse the schema instead.
    /// </summary>
    public ICollection<string>? Loosened { get; init; }

    /// <summary>Most brackets open at once: what JSON parsers read by default.</summary>
    public int MaxNesting { get; init; } = 64;
}
