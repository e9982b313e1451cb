namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>
/// How the members of an object are written where they are no JSON: <c>Open key ValueOpen value Close</c> each, with a separator in between.
/// </summary>
/// <param name="ValueOpen">Between a key and a string.</param>
/// <param name="Close">After a value; <see cref="KeyMark"/> in it stands for the key.</param>
public sealed record MemberNotation(string Open, string ValueOpen, string Close, string Separator)
{
    /// <summary>A character that no notation prints.</summary>
    public const char KeyMark = '\uE000';

    /// <summary>Between a key and a value of another type, by its name in JSON Schema, where that differs.</summary>
    public IReadOnlyDictionary<string, string> ValueOpenByType { get; init; } = new Dictionary<string, string>();

    /// <summary>Strings stand as they are, up to <see cref="Close"/>, which they cannot hold.</summary>
    public bool StringsAreBare { get; init; }

    /// <summary>A bare string may be wrapped in XML's CDATA, and is no plain one where it begins so.</summary>
    public bool TakesCharacterData { get; init; }

    /// <summary>Stands around strings, at any depth, which are never escaped and cannot hold it; keys within are bare then. Null for JSON's strings.</summary>
    public string? Quote { get; init; }

    /// <summary>A string may stand between these, too, with nothing in it that Python would escape; null for JSON's strings alone.</summary>
    public string? PythonQuote { get; init; }

    /// <summary>Booleans and null may be written as Python's, too.</summary>
    public bool TakesPythonScalars { get; init; }
}
