using System.Globalization;
using System.Text.RegularExpressions;

namespace InferenceServer.Library;

/// <summary>The weights of a repository in one quantization: a file, or the parts of one in their order.</summary>
/// <param name="Label">Such as Q4_K_M; null where the name does not say.</param>
internal sealed record QuantVariant(string? Label, string Stem, IReadOnlyList<RemoteFile> Parts)
{
    public long SizeBytes => Parts.Sum(part => part.Size);

    public string Shown => Label ?? Stem;
}

/// <summary>Which of a repository's files are weights, and which of them suit this machine.</summary>
internal static partial class Quantization
{
    // From the nearest to the original down. What is not quantized comes last: it is larger and slower than Q8_0, and no better that one could notice.
    private static readonly string[] Order =
    [
        "Q8_K_XL", "Q8_0", "Q6_K_XL", "Q6_K_L", "Q6_K", "Q5_K_XL", "Q5_K_L", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "MXFP4", "Q4_K_XL", "Q4_K_L", "Q4_K_M", "Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_1", "Q4_0",
        "Q3_K_XL", "Q3_K_L", "Q3_K_M", "IQ3_M", "IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS", "Q2_K_XL", "Q2_K_L", "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "TQ2_0", "TQ1_0", "IQ1_M", "IQ1_S",
        "F16", "BF16", "F32",
    ];

    // Beside the weights lie the KV pool and what is computed in: a fifth of the weights, and half a GiB.
    private const int RoomShare = 5;
    private const long RoomBytes = 512L << 20;

    /// <summary>The weights that a repository offers.</summary>
    public static IReadOnlyList<QuantVariant> Variants(IEnumerable<RemoteFile> files) =>
    [
        .. files.Where(file => IsWeights(file.Name)).GroupBy(file => StemOf(file.Name), StringComparer.OrdinalIgnoreCase)
            .Select(group => new QuantVariant(LabelOf(group.Key), group.Key, [.. group.OrderBy(file => file.Name, StringComparer.OrdinalIgnoreCase)])),
    ];

    /// <summary>The label in a file's name; null for none.</summary>
    public static string? LabelOf(string name) => LabelPattern().Matches(name) is [.., var last] ? last.Value.ToUpperInvariant() : null;

    /// <summary>The part's number and how many there are, from 1; null for a whole file.</summary>
    public static (int Number, int Count)? PartOf(string name) => PartPattern().Match(name) is { Success: true } part
        ? (int.Parse(part.Groups[1].Value, CultureInfo.InvariantCulture), int.Parse(part.Groups[2].Value, CultureInfo.InvariantCulture))
        : null;

    /// <exception cref="LibraryException">There is none, or several, by this name.</exception>
    public static QuantVariant Find(IReadOnlyList<QuantVariant> variants, string asked, string repository)
    {
        string stem = StemOf(asked);
        QuantVariant[] found = [.. variants.Where(variant => variant.Stem.Equals(stem, StringComparison.OrdinalIgnoreCase))];
        if (found.Length == 0)
            found = [.. variants.Where(variant => asked.Equals(variant.Label, StringComparison.OrdinalIgnoreCase))];
        // unsloth's UD-Q4_K_XL beside Q4_K_XL, and names that end in what was asked for.
        if (found.Length != 1)
        {
            QuantVariant[] ending = [.. (found.Length == 0 ? variants : found).Where(variant => EndsIn(variant.Stem, asked))];
            if (ending.Length > 0)
                found = Shortest(ending);
        }

        return found.Length switch
        {
            1 => found[0],
            0 => throw new LibraryException(LibraryProblem.NotFound, $"{repository} has no '{asked}'; it has {List(variants)}"),
            _ => throw new LibraryException(LibraryProblem.Invalid, $"{repository} has several files that are '{asked}': name one of {string.Join(", ", found.Select(variant => variant.Parts[0].Name))}"),
        };
    }

    /// <summary>The best that fits into memory.</summary>
    /// <param name="freeBytes">Memory of what computes, free now.</param>
    /// <returns>The variant, and why it was taken.</returns>
    public static (QuantVariant Variant, string Reason) Choose(IReadOnlyList<QuantVariant> variants, long freeBytes)
    {
        QuantVariant[] ranked = [.. variants.OrderBy(Rank).ThenByDescending(variant => variant.SizeBytes)];
        // What is not quantized counts only where nothing is.
        QuantVariant[] quantized = [.. ranked.Where(variant => variant.Label is { } label && label is not ("F16" or "BF16" or "F32"))];
        QuantVariant[] candidates = quantized.Length > 0 ? quantized : ranked;
        if (ranked.Length == 1)
            return (ranked[0], string.Create(CultureInfo.InvariantCulture, $"{ranked[0].Shown} is the only one there is ({Size(ranked[0].SizeBytes)})."));
        return candidates.FirstOrDefault(variant => Need(variant) <= freeBytes) is { } best
            ? (best, string.Create(CultureInfo.InvariantCulture, $"{best.Shown} ({Size(best.SizeBytes)}) is the best of {ranked.Length} that fits, with room for the context, into the {Size(freeBytes)} of memory that are free."))
            : candidates.MinBy(variant => variant.SizeBytes) is var smallest
                ? (smallest!, string.Create(CultureInfo.InvariantCulture, $"{smallest!.Shown} ({Size(smallest.SizeBytes)}) is the smallest of {ranked.Length}; none fits, with room for the context, into the {Size(freeBytes)} of memory that are free."))
                : throw new InvalidOperationException("a repository without weights has no best ones");
    }

    public static string List(IReadOnlyList<QuantVariant> variants) => string.Join(", ", variants.OrderBy(Rank).Take(40).Select(variant => variant.Shown));

    public static bool IsProjector(string name) => Path.GetFileName(name).Contains("mmproj", StringComparison.OrdinalIgnoreCase);

    private static long Need(QuantVariant variant) => variant.SizeBytes + (variant.SizeBytes / RoomShare) + RoomBytes;

    private static int Rank(QuantVariant variant) => Array.IndexOf(Order, variant.Label) is >= 0 and var rank ? rank : Order.Length;

    private static bool IsWeights(string name) => name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) && !IsProjector(name) && !Path.GetFileName(name).Contains("imatrix", StringComparison.OrdinalIgnoreCase);

    private static bool EndsIn(string stem, string asked) => stem.EndsWith(asked, StringComparison.OrdinalIgnoreCase) && stem.Length > asked.Length && stem[^(asked.Length + 1)] is '-' or '.' or '_' or '/';

    private static QuantVariant[] Shortest(QuantVariant[] variants) => variants.Min(variant => variant.Stem.Length) is var length ? [.. variants.Where(variant => variant.Stem.Length == length)] : variants;

    private static string StemOf(string name)
    {
        string stem = name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? name[..^".gguf".Length] : name;
        return PartPattern().Replace(stem + ".gguf", "") is var whole && whole.EndsWith(".gguf", StringComparison.Ordinal) ? stem : whole;
    }

    internal static string Size(long bytes) => bytes switch
    {
        >= 1L << 40 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 40):0.0} TiB"),
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.0} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MiB"),
        >= 1L << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 10):0.0} KiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
    };

    // llama.cpp's names of parts.
    [GeneratedRegex(@"-(\d{5})-of-(\d{5})\.gguf$", RegexOptions.IgnoreCase)]
    private static partial Regex PartPattern();

    [GeneratedRegex(@"(?<![A-Za-z0-9])(?:IQ[1-4]_(?:XXS|XS|NL|S|M)|Q[2-8]_(?:K(?:_(?:XL|L|M|S))?|[01])|TQ[12]_0|MXFP4|BF16|F16|F32)(?![A-Za-z0-9])", RegexOptions.IgnoreCase)]
    private static partial Regex LabelPattern();
}
