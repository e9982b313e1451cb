using System.Text.RegularExpressions;
using System.Xml.Linq;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Docs;

/// <summary>The pages that people read: their links lead somewhere, and one finds every page from README.</summary>
public sealed partial class DocumentTests
{
    private const int MostWordsOfReadme = 1200;

    private static IReadOnlyList<Document> Pages { get; } = [.. DocumentedPages.Paths.Select(Document.Read)];

    [Fact]
    public void Every_relative_link_leads_to_a_file_and_its_anchor_to_a_heading()
    {
        List<string> broken = [];
        foreach (Document page in Pages)
            foreach (DocumentLink link in page.Links.Where(link => !IsElsewhere(link.Target)))
            {
                (string path, string? anchor) = Resolve(page, link.Target);
                if (!Exists(path))
                    broken.Add($"{page.Path}:{link.Line}: there is no {path}");
                else if (anchor is not null && Exists(path) && !Document.Read(path).Anchors.Contains(anchor))
                    broken.Add($"{page.Path}:{link.Line}: {path} has no heading for #{anchor}");
            }

        Assert.True(broken.Count == 0, string.Join('\n', broken));
    }

    [Fact]
    public void Every_page_is_reached_from_README()
    {
        Dictionary<string, Document> pages = Pages.ToDictionary(page => page.Path);
        HashSet<string> reached = ["README.md"];
        for (Queue<string> next = new(reached); next.TryDequeue(out string? path);)
            foreach (DocumentLink link in pages[path].Links.Where(link => !IsElsewhere(link.Target)))
                if (Resolve(pages[path], link.Target).Path is var target && pages.ContainsKey(target) && reached.Add(target))
                    next.Enqueue(target);
        Assert.Equal([], pages.Keys.Except(reached));
    }

    [Fact]
    public void README_stays_short()
    {
        int words = Pages.Single(page => page.Path == "README.md").Text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
        Assert.True(words <= MostWordsOfReadme, $"README.md has {words} words; move what is over {MostWordsOfReadme} to a page under docs/");
    }

    [Fact]
    public void The_changelogs_newest_release_is_the_version_that_the_server_and_its_assembly_tell()
    {
        string changelog = File.ReadAllText(Path.Combine(SharedFolder.RepositoryRoot, "CHANGELOG.md"));
        string released = ReleasePattern().Match(changelog).Groups[1].Value;
        Assert.Equal(ServerVersion.Text, released);
        Assert.Equal(released, XDocument.Load(Path.Combine(SharedFolder.RepositoryRoot, "Directory.Build.props")).Descendants("Version").Single().Value);
        Assert.Equal(released, typeof(ServerVersion).Assembly.GetName().Version!.ToString(3));
        Assert.Contains("## [Unreleased]", changelog, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_page_is_made_of_is_read_as_GitHub_shows_it()
    {
        Document page = Document.Parse("page.md",
            "# A title, `code` and [a link](other.md#part)\n## Same\n## Same\nSee [`x`](y.md), `[no](link)` and <img src=\"p.svg\">.\n<!-- not run: it waits -->\n```sh\n# Not a heading\n```\n\n```json\n{}\n```\n");
        Assert.Equal(["a-title-code-and-a-link", "same", "same-1"], page.Anchors);
        Assert.Equal(["other.md#part", "y.md", "p.svg"], page.Links.Select(link => link.Target));
        Assert.Equal([("sh", "it waits"), ("json", null)], page.Blocks.Select(block => (block.Language, block.NotRun)));
    }

    private static bool IsElsewhere(string target) => target.StartsWith("https://", StringComparison.Ordinal) || target.StartsWith("http://", StringComparison.Ordinal) || target.StartsWith("mailto:", StringComparison.Ordinal);

    private static bool Exists(string path) =>
        File.Exists(Path.Combine(SharedFolder.RepositoryRoot, path)) || Directory.Exists(Path.Combine(SharedFolder.RepositoryRoot, path));

    private static (string Path, string? Anchor) Resolve(Document page, string target)
    {
        string[] parts = target.Split('#', 2);
        string folder = Path.Combine(SharedFolder.RepositoryRoot, Path.GetDirectoryName(page.Path)!);
        string path = parts[0].Length == 0 ? page.Path : Path.GetRelativePath(SharedFolder.RepositoryRoot, Path.GetFullPath(Path.Combine(folder, parts[0]))).Replace('\\', '/');
        return (path, parts.Length > 1 ? parts[1] : null);
    }

    [GeneratedRegex(@"^## \[(\d+\.\d+\.\d+)\]", RegexOptions.Multiline)]
    private static partial Regex ReleasePattern();
}

internal static class DocumentedPages
{
    /// <summary>From the repository's root.</summary>
    public static IReadOnlyList<string> Paths { get; } =
        ["README.md", "SECURITY.md", "CHANGELOG.md", .. Directory.GetFiles(Path.Combine(SharedFolder.RepositoryRoot, "docs"), "*.md").Select(path => $"docs/{Path.GetFileName(path)}").Order(StringComparer.Ordinal)];
}
