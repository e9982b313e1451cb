using System.Text;
using System.Text.RegularExpressions;

namespace InferenceServer.Tests.Docs;

/// <summary>A link of a page.</summary>
/// <param name="Target">A path from the page's folder, perhaps with an anchor; or an anchor alone; or an address elsewhere.</param>
internal sealed record DocumentLink(string Target, int Line);

/// <summary>A fenced block of a page.</summary>
/// <param name="Language">What stands behind the fence; empty for none.</param>
/// <param name="NotRun">The reason in the comment right before it: <c>&lt;!-- not run: REASON --&gt;</c>; null without one.</param>
/// <param name="Before">The text between the block, or heading, before and this one.</param>
internal sealed record FencedBlock(string Language, string Text, string? NotRun, string Before, int Line);

/// <summary>A page in Markdown, as far as its links, headings and fenced blocks go.</summary>
internal sealed partial class Document
{
    private readonly HashSet<string> _anchors = [];
    private readonly List<DocumentLink> _links = [];
    private readonly List<FencedBlock> _blocks = [];

    private Document(string path, string text)
    {
        (Path, Text) = (path, text);
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        StringBuilder before = new();
        for (int i = 0; i < lines.Length; i++)
        {
            if (FencePattern().Match(lines[i]) is { Success: true } fence)
            {
                int start = i;
                StringBuilder code = new();
                while (++i < lines.Length && lines[i].Trim() != "```")
                    code.Append(lines[i]).Append('\n');
                Assert.True(i < lines.Length, $"{path}:{start + 1}: the block has no end");
                _blocks.Add(new(fence.Groups[1].Value, code.ToString(), NotRunPattern().Match(before.ToString()) is { Success: true } reason ? reason.Groups[1].Value : null, before.ToString(), start + 1));
                before.Clear();
                continue;
            }

            if (HeadingPattern().Match(lines[i]) is { Success: true } heading)
            {
                AddAnchor(Slug(heading.Groups[1].Value));
                before.Clear();
            }

            before.Append(lines[i]).Append('\n');
            foreach (Match link in LinkPattern().Matches(CodePattern().Replace(lines[i], "code")))
                _links.Add(new(link.Groups[1].Success ? link.Groups[1].Value : link.Groups[2].Value, i + 1));
        }
    }

    /// <summary>From the repository's root, with forward slashes.</summary>
    public string Path { get; }

    public string Text { get; }

    public IReadOnlySet<string> Anchors => _anchors;

    public IReadOnlyList<DocumentLink> Links => _links;

    public IReadOnlyList<FencedBlock> Blocks => _blocks;

    public static Document Read(string path) => new(path, File.ReadAllText(System.IO.Path.Combine(SharedFolder.RepositoryRoot, path)));

    public static Document Parse(string path, string text) => new(path, text);

    /// <summary>The anchor that GitHub gives a heading: small letters, digits, hyphens and underscores; spaces become hyphens.</summary>
    public static string Slug(string heading) =>
        SignPattern().Replace(LinkTextPattern().Replace(heading, "$1").Trim().ToLowerInvariant(), "").Replace(' ', '-');

    /// <summary>A heading that is there already gets a number.</summary>
    private void AddAnchor(string slug)
    {
        string anchor = slug;
        for (int i = 1; !_anchors.Add(anchor); i++)
            anchor = $"{slug}-{i}";
    }

    [GeneratedRegex("^ *```([a-z]*) *$")]
    private static partial Regex FencePattern();

    [GeneratedRegex("<!-- not run: (.+) -->\\s*$")]
    private static partial Regex NotRunPattern();

    [GeneratedRegex("^#{1,6} (.+)$")]
    private static partial Regex HeadingPattern();

    [GeneratedRegex(@"\]\(([^()\s]+)\)|(?:src|href)=""([^""]+)""")]
    private static partial Regex LinkPattern();

    // What looks like a link within code is none.
    [GeneratedRegex("`[^`]*`")]
    private static partial Regex CodePattern();

    [GeneratedRegex(@"\[([^\]]*)\]\([^)]*\)")]
    private static partial Regex LinkTextPattern();

    [GeneratedRegex(@"[^\p{L}\p{N}_\- ]")]
    private static partial Regex SignPattern();
}
