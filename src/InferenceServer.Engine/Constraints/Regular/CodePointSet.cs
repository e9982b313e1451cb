// Sets of Unicode code points as sorted ranges. Immutable; surrogates are never members.

namespace InferenceServer.Engine.Constraints.Regular;

internal readonly record struct CodePointRange(int Low, int High);

internal sealed class CodePointSet : IEquatable<CodePointSet>
{
    public const int MaxCodePoint = 0x10FFFF;

    private readonly CodePointRange[] _ranges;

    private CodePointSet(CodePointRange[] ranges) => _ranges = ranges;

    public static CodePointSet Empty { get; } = new([]);

    /// <summary>Every code point that UTF-8 can encode.</summary>
    public static CodePointSet All { get; } = new([new(0, 0xD7FF), new(0xE000, MaxCodePoint)]);

    public ReadOnlySpan<CodePointRange> Ranges => _ranges;

    public bool IsEmpty => _ranges.Length == 0;

    public static CodePointSet Of(int codePoint) => Of(codePoint, codePoint);

    public static CodePointSet Of(int low, int high) => FromRanges([new(low, high)]);

    public static CodePointSet FromRanges(IEnumerable<CodePointRange> ranges)
    {
        List<CodePointRange> merged = [];
        foreach (CodePointRange range in ranges.Where(r => r.Low <= r.High).OrderBy(r => r.Low))
        {
            if (merged.Count > 0 && range.Low <= merged[^1].High + 1)
                merged[^1] = merged[^1] with { High = Math.Max(merged[^1].High, range.High) };
            else
                merged.Add(range);
        }
        List<CodePointRange> valid = [];
        foreach (CodePointRange range in merged)
        {
            if (range.Low < 0xD800)
                valid.Add(new(range.Low, Math.Min(range.High, 0xD7FF)));
            if (range.High > 0xDFFF)
                valid.Add(new(Math.Max(range.Low, 0xE000), Math.Min(range.High, MaxCodePoint)));
        }
        return new([.. valid]);
    }

    public CodePointSet Union(CodePointSet other) => FromRanges([.. _ranges, .. other._ranges]);

    public CodePointSet Complement()
    {
        List<CodePointRange> gaps = [];
        int next = 0;
        foreach (CodePointRange range in _ranges)
        {
            gaps.Add(new(next, range.Low - 1));
            next = range.High + 1;
        }
        gaps.Add(new(next, MaxCodePoint));
        return FromRanges(gaps);
    }

    public CodePointSet Except(CodePointSet other) => Complement().Union(other).Complement();

    public bool Equals(CodePointSet? other) => other is not null && Ranges.SequenceEqual(other.Ranges);

    public override bool Equals(object? obj) => Equals(obj as CodePointSet);

    public override int GetHashCode() => _ranges.Length == 0 ? 0 : HashCode.Combine(_ranges.Length, _ranges[0], _ranges[^1]);

    public bool Contains(int codePoint)
    {
        int low = 0, high = _ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (codePoint < _ranges[middle].Low)
                high = middle - 1;
            else if (codePoint > _ranges[middle].High)
                low = middle + 1;
            else
                return true;
        }
        return false;
    }
}
