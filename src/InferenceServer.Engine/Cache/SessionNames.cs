// Sessions over a restart: their names go to disk whenever no request runs, or a second after the last time, and come back as the files that
// their turns end in find their place. Decode thread only.

namespace InferenceServer.Engine.Cache;

internal sealed class SessionNames(SessionTable sessions, DiskTier disk, TimeProvider time)
{
    private static readonly TimeSpan NamesInterval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, List<(SavedSession Session, bool IsNewest, int Position)>> _turnsOfFile = [];
    private readonly List<SessionEntry> _adopted = [];
    private long _namedChanges;
    private long _namedAt;

    /// <summary>Sessions of an earlier run are listed as far as anything of them is left.</summary>
    public bool ArePlaced { get; private set; }

    /// <summary>What an earlier run wrote.</summary>
    public void Take(IReadOnlyList<SavedSession> found)
    {
        foreach (SavedSession session in found)
        {
            if (sessions.Adopt(session) is { } entry)
                _adopted.Add(entry);
            for (int i = 0; i < session.Ends.Count; i++)
                foreach (SavedPlace place in session.Ends[i].Places)
                {
                    if (!_turnsOfFile.TryGetValue(place.File, out List<(SavedSession, bool, int)>? turns))
                        _turnsOfFile.Add(place.File, turns = []);
                    turns.Add((session, i == 0, place.Position));
                }
        }
    }

    /// <summary>The turns that end in this file, or whose end lies in a file below: that one comes later, and moves them on.</summary>
    public void Place(PrefixNode root, DiskFile file, CacheFileHeader header)
    {
        if (!_turnsOfFile.TryGetValue(file.Name, out List<(SavedSession Session, bool IsNewest, int Position)>? turns))
            return;
        foreach ((SavedSession session, bool isNewest, int position) in turns)
            if (session.NamespaceKey == header.NamespaceKey && position > header.Start && position <= header.End
                && PrefixTree.Descend(root, header.Tokens, position) is { IsRoot: false } node)
                sessions.Place(session, isNewest, node);
    }

    /// <summary>Writes them where they have changed; only when all files of an earlier run have their place.</summary>
    /// <param name="hasRunning">Some request runs.</param>
    public void Settle(bool hasRunning)
    {
        if (!ArePlaced)
        {
            foreach (SessionEntry entry in _adopted)
                if (entry.Ends.Count == 0)
                    sessions.Remove(entry);
            _adopted.Clear();
            _turnsOfFile.Clear();
            ArePlaced = true;
        }
        long changes = sessions.Changes + disk.Changes;
        if (changes == _namedChanges || disk.IsNaming || (hasRunning && time.GetElapsedTime(_namedAt) < NamesInterval))
            return;
        (_namedChanges, _namedAt) = (changes, time.GetTimestamp());
        List<SavedSession> named = [];
        foreach (SessionEntry entry in sessions.Entries.Reverse())
            if (ForTheNextRun(entry) is { } session)
                named.Add(session);
        disk.Name(named);
    }

    /// <summary>Null when no file has anything of it.</summary>
    private static SavedSession? ForTheNextRun(SessionEntry entry)
    {
        if (entry.Id.Length > SessionFile.MostIdLength)
            return null;
        List<SavedEnd> ends = [new SavedEnd(PlacesOf(entry.Newest))];
        foreach (PrefixNode node in entry.Ends)
            if (node != entry.Newest && ends.Count < SessionFile.MostEnds && PlacesOf(node) is { Count: > 0 } places)
                ends.Add(new SavedEnd(places));
        return ends is [{ Places.Count: 0 }] ? null : new SavedSession(entry.NamespaceKey, entry.Id, entry.LastUsed, ends);
    }

    private static List<SavedPlace> PlacesOf(PrefixNode? node)
    {
        List<SavedPlace> places = [];
        for (; node is { IsRoot: false } && places.Count < SessionFile.MostPlaces; node = node.Parent)
            if (node.Saved?.File is { } file && (places.Count == 0 || places[^1].File != file.Name))
                places.Add(new SavedPlace(file.Name, node.End));
        return places;
    }
}
