namespace InferenceServer.Engine.Constraints;

/// <summary>A constraint that cannot be enforced as written. Nothing is ever dropped silently: answer 400 with <see cref="Path"/>.</summary>
/// <param name="path">Where: a JSON pointer such as <c>#/properties/a/pattern</c>, <c>line 3, column 5</c> of a grammar, or a part's name.</param>
/// <param name="reason">What is wrong or unsupported, for the person who wrote the constraint.</param>
public sealed class ConstraintException(string path, string reason) : Exception($"{path}: {reason}")
{
    public string Path { get; } = path;

    /// <summary>Where <see cref="Path"/> begins, as whoever put several parts together names it; null for a constraint of one part.</summary>
    public string? Part { get; init; }

    public string Reason { get; } = reason;
}
