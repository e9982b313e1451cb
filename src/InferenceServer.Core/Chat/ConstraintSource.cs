using InferenceServer.Engine.Constraints;

namespace InferenceServer.Chat;

/// <summary>A constraint that is not compiled yet.</summary>
/// <param name="Path">Where it stands in the request, as its dialect writes it.</param>
/// <param name="Key">Its kind and whole source: equal keys mean the same constraint.</param>
/// <param name="Build">Throws <see cref="ConstraintException"/> for what cannot be enforced.</param>
public sealed record ConstraintSource(string Path, string Key, Func<CancellationToken, BuiltConstraint> Build)
{
    /// <summary>A constraint that leaves nothing open.</summary>
    public ConstraintSource(string path, string key, Func<CancellationToken, ConstraintPart> build)
        : this(path, key, cancellation => new BuiltConstraint(build(cancellation), []))
    {
    }

    public static ConstraintSource JsonObject(string path) => new(path, "json object", _ => ConstraintPart.JsonObject);

    /// <param name="schema">As JSON text.</param>
    public static ConstraintSource JsonSchema(string schema, string path) =>
        new(path, $"json schema {schema}", cancellation => ConstraintPart.JsonSchema(schema, null, cancellation));

    public static ConstraintSource Gbnf(string grammar, string path) => new(path, $"grammar {grammar}", _ => ConstraintPart.Gbnf(grammar));

    public static ConstraintSource Regex(string pattern, string path) => new(path, $"regex {pattern}", _ => ConstraintPart.Regex(pattern));

    /// <param name="source">The choices as they were sent.</param>
    public static ConstraintSource Choices(IReadOnlyList<string> choices, string source, string path) => new(path, $"choice {source}", _ => ConstraintPart.Choices(choices));
}

/// <summary>A constraint's parts.</summary>
/// <param name="Loosened">The places in the request that are left open, since they cannot be enforced and need not be.</param>
public sealed record BuiltConstraint(ConstraintPart Part, IReadOnlyList<string> Loosened);
