using System.Buffers;

namespace InferenceServer.Chat.Replies;

internal enum ReplyMarkerKind
{
    Reasoning,
    Skipped,
    Call,
}

/// <summary>A text that changes what a reply is saying.</summary>
/// <param name="AtStart">It counts only where nothing was said yet, since elsewhere it may well be content.</param>
/// <param name="IsBrace">Calls begin with nothing but their JSON object, of which <paramref name="Literal"/> is the first character.</param>
internal sealed record ReplyMarker(
    string Literal, ReplyMarkerKind Kind, bool AtStart, ToolCallFormat? Format = null, bool IsInSection = false, bool IsBrace = false)
{
    /// <summary>As much of the marker as can be nothing else: the first tag, the first line, or a bare object's first key.</summary>
    public string Stem { get; } = IsBrace ? FirstKey(Format!.Opening) : MarkerText.ThroughFirstTag(Literal).Split('\n')[0].TrimEnd();

    private static string FirstKey(string opening)
    {
        int end = opening.IndexOf('"', opening.IndexOf('"', StringComparison.Ordinal) + 1);
        return end < 0 ? opening : opening[..(end + 1)];
    }
}

/// <summary>The markers to watch for in a format's content. Immutable.</summary>
internal sealed class ReplyMarkers
{
    private readonly List<ReplyMarker> _markers = [];

    public ReplyMarkers(ReplyFormat format, bool withCalls)
    {
        foreach (string skipped in format.Skipped)
            Add(new(skipped.TrimStart(), ReplyMarkerKind.Skipped, AtStart: !IsDistinctive(skipped)));
        if (format.Reasoning is { } reasoning)
        {
            Add(new(reasoning.Open.Trim(), ReplyMarkerKind.Reasoning, AtStart: true));
            // Models that may skip their reasoning close what was never opened.
            Add(new(reasoning.Close.Trim(), ReplyMarkerKind.Skipped, AtStart: true));
        }

        if (withCalls)
            foreach (ToolCallFormat call in format.Calls)
                AddCall(call);
        HoldsSpace = _markers.Exists(marker => !marker.AtStart || marker.Kind == ReplyMarkerKind.Call);
        FirstCharacters = SearchValues.Create([.. _markers.Select(marker => marker.Literal[0]).Distinct()]);
    }

    public IReadOnlyList<ReplyMarker> All => _markers;

    public SearchValues<char> FirstCharacters { get; }

    /// <summary>Whether white space at the end of what was said is better held back, since a marker may follow.</summary>
    public bool HoldsSpace { get; }

    /// <summary>The marker that a text begins with; the longest where several do.</summary>
    /// <param name="isLast">Nothing more will come: a beginning is none, but for what closes a turn.</param>
    /// <param name="callsAreGuarded">The beginning of a call is one even so: the engine lets nothing else follow it.</param>
    public MarkerMatch Match(ReadOnlySpan<char> text, bool atStart, bool isLast, bool callsAreGuarded, out ReplyMarker? found, out int length)
    {
        (found, length) = (null, 0);
        int longest = -1;
        foreach (ReplyMarker marker in _markers)
        {
            if (marker.AtStart && !atStart)
                continue;
            MarkerMatch match = MarkerText.Match(text, marker.Literal, out int taken);
            if (match == MarkerMatch.Partial && !isLast)
                return MarkerMatch.Partial;
            if (match == MarkerMatch.Partial && (marker.Kind == ReplyMarkerKind.Skipped && MarkerText.HasTag(text.ToString())
                || marker.Kind == ReplyMarkerKind.Call && callsAreGuarded && text.StartsWith(marker.Stem, StringComparison.Ordinal)))
                (match, taken) = (MarkerMatch.Full, text.Length);
            if (match != MarkerMatch.Full || taken <= longest)
                continue;
            (found, longest, length) = (marker, taken, marker.IsBrace ? 0 : taken);
        }

        return found is null ? MarkerMatch.None : MarkerMatch.Full;
    }

    private void AddCall(ToolCallFormat call)
    {
        CallLayout layout = call.Layout;
        bool inSection = call.SectionOpen.Length > 0 || call.SectionClose.Length > 0;
        string open = (call.SectionOpen + layout.Prefix).Trim();
        if (open.Length == 0)
        {
            if (layout.IsObject)
                Add(new("{", ReplyMarkerKind.Call, AtStart: true, call, inSection, IsBrace: true));
            return;
        }

        Add(new(open, ReplyMarkerKind.Call, AtStart: !IsDistinctive(open), call, inSection));
        // Models leave out outer tags: a section's, or all but the innermost of a call's.
        string prefix = layout.Prefix.Trim();
        if (inSection && MarkerText.HasTag(prefix))
            Add(new(prefix, ReplyMarkerKind.Call, AtStart: false, call, IsInSection: true));
        string inner = prefix[MarkerText.ThroughFirstTag(prefix).Length..].Trim();
        if (inner is ['<', _, _, ..])
            Add(new(inner, ReplyMarkerKind.Call, AtStart: false, call, inSection));
    }

    private void Add(ReplyMarker marker)
    {
        if (marker.Literal.Length > 0 && !_markers.Exists(known => known.Literal == marker.Literal && known.Kind == marker.Kind))
            _markers.Add(marker);
    }

    /// <summary>Whether a text is hardly ever said for its own sake.</summary>
    private static bool IsDistinctive(string text) => MarkerText.HasTag(text) || text.AsSpan().ContainsAny("<>|`");
}
