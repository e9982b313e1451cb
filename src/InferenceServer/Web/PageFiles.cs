using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.StaticFiles;

namespace InferenceServer.Web;

/// <summary>One file of the page, as it is and as it was compressed when it was built.</summary>
/// <param name="Encodings">By content coding, the one that is wanted most first; the last is <c>identity</c>.</param>
internal sealed record PageFile(string ContentType, IReadOnlyList<(string Coding, byte[] Bytes, string ETag)> Encodings);

/// <summary>
/// The built page, read once at the start: a page that is built anew beside a running server changes nothing of it. Files are found by their names in the folder,
/// so no request reaches the file system.
/// </summary>
internal sealed partial class PageFiles
{
    public const string IndexName = "index.html";

    // Built beside each file; brotli is the smaller one.
    private static readonly (string Coding, string Suffix)[] Compressed = [("br", ".br"), ("gzip", ".gz")];

    private readonly Dictionary<string, PageFile> _files = new(StringComparer.Ordinal);

    private PageFiles()
    {
    }

    /// <summary>Null where the page was not built.</summary>
    public PageFile? Index => Find(IndexName);

    /// <summary>The SHA-256 in base64 of the one script that stands in the index itself: the import map, which says what the other scripts must be. Null where there is none.</summary>
    public string? ImportMapHash => Index is { } index && ImportMap().Match(Encoding.UTF8.GetString(index.Encodings[^1].Bytes)) is { Success: true } map
        ? Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(map.Groups[1].Value)))
        : null;

    /// <summary>What the index names as its icon; null where it names none.</summary>
    public PageFile? Icon => Index is { } index && IconLink().Match(Encoding.UTF8.GetString(index.Encodings[^1].Bytes)) is { Success: true } link ? Find(link.Groups[1].Value) : null;

    /// <summary>Those beside the index: icons and the like.</summary>
    public IEnumerable<string> RootNames => _files.Keys.Where(name => name != IndexName && !name.Contains('/'));

    /// <param name="name">As in the folder, with slashes.</param>
    public PageFile? Find(string name) => _files.GetValueOrDefault(name);

    /// <summary>Reads the folder; without it, or without an index in it, there is no page.</summary>
    /// <exception cref="IOException">A file of it cannot be read.</exception>
    public static PageFiles Load(string directory)
    {
        PageFiles page = new();
        if (!File.Exists(Path.Combine(directory, IndexName)))
            return page;
        FileExtensionContentTypeProvider types = new();
        foreach (string path in Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories))
            if (types.TryGetContentType(path, out string? type) && !Compressed.Any(form => path.EndsWith(form.Suffix, StringComparison.Ordinal)))
                page._files[Path.GetRelativePath(directory, path).Replace('\\', '/')] = Read(path, type.StartsWith("text/", StringComparison.Ordinal) ? $"{type}; charset=utf-8" : type);
        return page;
    }

    private static PageFile Read(string path, string contentType)
    {
        List<(string, byte[], string)> encodings = [];
        foreach ((string coding, string suffix) in Compressed)
            if (File.Exists(path + suffix))
                encodings.Add(Encode(coding, File.ReadAllBytes(path + suffix)));
        encodings.Add(Encode("identity", File.ReadAllBytes(path)));
        return new PageFile(contentType, encodings);
    }

    [GeneratedRegex("<script type=\"importmap\">(.*?)</script>", RegexOptions.Singleline)]
    private static partial Regex ImportMap();

    [GeneratedRegex("<link rel=\"icon\"[^>]* href=\"/([^\"]+)\"")]
    private static partial Regex IconLink();

    private static (string Coding, byte[] Bytes, string ETag) Encode(string coding, byte[] bytes) =>
        (coding, bytes, $"\"{Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, 16))}\"");
}
