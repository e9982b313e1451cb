using System.Diagnostics.CodeAnalysis;

namespace InferenceServer.Library;

/// <summary>
/// A model's name in the library: <c>[owner/]name[:tag]</c>, the tag <c>latest</c> where none is given. Case does not matter. Every part is made of letters, digits,
/// '.', '_' and '-', and begins with a letter or digit: no name can lead out of a folder.
/// </summary>
public sealed record ModelName
{
    public const string DefaultTag = "latest";

    // Together with its escapes and ending such a name stays below 255 bytes, the longest that file systems take.
    private const int MaxOwner = 48;
    private const int MaxName = 96;
    private const int MaxTag = 64;

    private ModelName(string? owner, string name, string tag) => (Owner, Name, Tag) = (owner, name, tag);

    public string? Owner { get; }

    public string Name { get; }

    public string Tag { get; }

    /// <summary>As a file's name: lower case, without separators. Names that differ in case only share it.</summary>
    internal string FileName => ToString().ToLowerInvariant().Replace("/", "%2f", StringComparison.Ordinal).Replace(":", "%3a", StringComparison.Ordinal);

    /// <exception cref="LibraryException">It is no name.</exception>
    public static ModelName Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        (string path, string? tag) = SplitTag(text);
        string[] parts = path.Split('/');
        if (parts.Length > 2)
            throw Bad(text, "it has more than one '/'");
        string? owner = parts.Length == 2 ? parts[0] : null;
        foreach ((string? part, string what, int most) in (ReadOnlySpan<(string?, string, int)>)[(owner, "owner", MaxOwner), (parts[^1], "name", MaxName), (tag, "tag", MaxTag)])
            if (part is not null && Fault(part, most) is { } fault)
                throw Bad(text, $"its {what} {fault}");
        return new ModelName(owner, parts[^1], tag ?? DefaultTag);
    }

    public static bool TryParse(string text, [NotNullWhen(true)] out ModelName? name)
    {
        try
        {
            name = Parse(text);
            return true;
        }
        catch (LibraryException)
        {
            name = null;
            return false;
        }
    }

    /// <summary>Without the tag where that is the default one.</summary>
    public string Display => Tag.Equals(DefaultTag, StringComparison.OrdinalIgnoreCase) ? (Owner is null ? Name : $"{Owner}/{Name}") : ToString();

    public bool Equals(ModelName? other) => other is not null && ToString().Equals(other.ToString(), StringComparison.OrdinalIgnoreCase);

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.OrdinalIgnoreCase);

    public override string ToString() => Owner is null ? $"{Name}:{Tag}" : $"{Owner}/{Name}:{Tag}";

    /// <summary>A tag made of another text, such as a file's name.</summary>
    internal static string TagOf(string text)
    {
        string tag = string.Concat(text.Select(c => IsPlain(c) ? c : '_')).TrimStart('.', '_', '-');
        return tag.Length == 0 ? DefaultTag : tag.Length <= MaxTag ? tag : tag[..MaxTag];
    }

    internal static (string Path, string? Tag) SplitTag(string text) => text.IndexOf(':', StringComparison.Ordinal) is >= 0 and var colon ? (text[..colon], text[(colon + 1)..]) : (text, null);

    /// <summary>What is wrong with a part; null when nothing is.</summary>
    internal static string? Fault(string part, int most) =>
        part.Length == 0 ? "is empty"
        : part.Length > most ? $"has {part.Length} characters, and at most {most} are allowed"
        : !char.IsAsciiLetterOrDigit(part[0]) ? "does not begin with a letter or digit"
        : !part.All(IsPlain) ? "has characters other than letters, digits, '.', '_' and '-'"
        : part.Contains("..", StringComparison.Ordinal) ? "has '..'"
        : null;

    /// <summary>A text of a stranger's for an error: short, and without anything that a terminal obeys.</summary>
    internal static string Shown(string text) => string.Concat((text.Length <= 100 ? text : text[..100] + "...").Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));

    private static bool IsPlain(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-';

    private static LibraryException Bad(string text, string why) => new(LibraryProblem.Invalid, $"'{Shown(text)}' is no model's name: {why}. A name is [owner/]name[:tag], such as chat or qwen3:8b");
}
