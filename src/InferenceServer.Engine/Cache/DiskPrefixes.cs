// The disk tier's place in the tree: which states are written, which are fetched for a waiting request, and where an earlier run's belong.
// Decode thread only; it never waits for the disk.

namespace InferenceServer.Engine.Cache;

internal sealed class DiskPrefixes(PrefixTree tree, SavedPrefixes saved, DiskTier disk, SessionNames names)
{
    /// <summary>Files placed in the tree between two steps: each costs about as much as walking its tokens.</summary>
    private const int GraftsPerTurn = 64;

    private readonly Queue<(DiskFile File, CacheFileHeader Header, long LastUse)> _toGraft = new();

    private bool _isScanned;

    /// <summary>States wait to be written, or these or names are being written.</summary>
    public bool HasWrites => disk is { HasUnwritten: true } or { IsWriting: true } or { IsNaming: true };

    /// <summary>Files of an earlier run wait for their place in the tree.</summary>
    public bool HasGrafts => _toGraft.Count > 0;

    /// <summary>Takes in what the disk thread has done and gives it more to write. True when anything changed.</summary>
    /// <param name="hasRunning">Some request runs.</param>
    public bool Settle(bool hasRunning)
    {
        bool changed = _toGraft.Count > 0;
        while (disk.Store.TryTake(out DiskResult result))
        {
            changed = true;
            if (result.Error is { } error)
                disk.CountError(error);
            switch (result.Command.Kind)
            {
                case DiskCommandKind.Scan:
                    _isScanned = true;
                    if (result.Scan is { } scan)
                        TakeScan(scan);
                    break;
                case DiskCommandKind.Name:
                    disk.Named();
                    break;
                case DiskCommandKind.Write:
                    if (disk.Written(result.Command.State!, result.Written, result.Command.File!.Bytes) && !result.Command.State!.IsUsable)
                        saved.Forget(result.Command.State);
                    break;
                case DiskCommandKind.Load:
                    TakeLoad(result);
                    break;
            }
        }
        for (int i = 0; i < GraftsPerTurn && _toGraft.TryDequeue(out (DiskFile File, CacheFileHeader Header, long LastUse) found); i++)
            Graft(found.File, found.Header, found.LastUse);
        while (_toGraft.Count == 0 && disk.UsedBytes > disk.BudgetBytes && MakeDiskRoom())
        {
        }
        WriteMore();
        saved.Trim();
        if (_isScanned && _toGraft.Count == 0)
            names.Settle(hasRunning);
        return changed;
    }

    /// <summary>
    /// Asks for what the longest match needs and only the disk has. True while something of it is on its way, so waiting is worth it; the
    /// caller sets a limit to that.
    /// </summary>
    public bool TryLoad(string namespaceKey, ReadOnlySpan<int> tokens)
    {
        if (!tree.Roots.TryGetValue(namespaceKey, out PrefixNode? node))
            return false;
        List<(PrefixNode Node, SavedState State)> missing = [];
        for (int depth = 0; depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child) && child.IsUsable; node = child)
        {
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            depth += common;
            if (child is { IsResident: false, Saved: { } state } && child.Parent!.Saved != state)
                missing.Add((child, state));
            if (common < child.Length)
                break;
            if (depth == tokens.Length && child.Checkpoint is { } checkpoint)
                missing.Add((child, checkpoint));
        }
        bool isComing = false;
        long bytes = 0;
        foreach ((PrefixNode child, SavedState state) in missing)
        {
            bytes += state.File?.PayloadBytes ?? state.HostBytes;
            // A prefix is of use only whole: what does not fit into memory together is left where it is.
            if (bytes > saved.Host.BudgetBytes || state.Nodes.Count == 0)
                break;
            isComing |= !state.IsReady;
            if (state is { IsReady: false, IsLoading: false, File: { } file } && (disk.LoadingBytes == 0 || disk.LoadingBytes + file.PayloadBytes <= saved.Host.BudgetBytes / 2))
            {
                saved.Touch(child);
                saved.Host.Add(state, file.PayloadBytes);
                disk.Load(state, namespaceKey, PathTokens(state));
                saved.Trim();
            }
        }
        return isComing;
    }

    private void TakeScan(DiskScan scan)
    {
        DiskCounters counters = disk.Counters;
        counters.DamagedFiles += scan.Damaged;
        counters.IgnoredFiles += scan.Foreign.Count;
        counters.Errors += scan.Unreadable;
        foreach (DiskFile file in scan.Foreign)
            disk.AdoptForeign(file);
        // Parents before what hangs below them. The order of use goes on where the earlier run left off.
        foreach (((DiskFile file, CacheFileHeader header), int order) in scan.Files.Select((file, i) => (file, i)).OrderBy(found => found.file.Header.Start))
            _toGraft.Enqueue((file, header, order - scan.Files.Count));
        names.Take(scan.Sessions);
    }

    private void TakeLoad(DiskResult result)
    {
        SavedState state = result.Command.State!;
        disk.Loaded(state, result.Command.File!.PayloadBytes);
        if (result.Loaded is { } data)
        {
            // Its room may have been given to others meanwhile; then it stays on disk.
            if (state.HostEntry is null)
                return;
            state.Memory = new KvBlob(state.Start, state.End);
            state.Memory.Fill(data);
            state.CameFromDisk = true;
            saved.Host.Touch(state);
            return;
        }
        if (result.Damaged)
        {
            disk.Counters.DamagedFiles++;
            disk.Lost(state);
        }
        saved.Host.Remove(state);
        saved.Forget(state);
    }

    private void WriteMore()
    {
        while (disk.NextUnwritten() is { } state)
        {
            while (!disk.HasRoomFor(state) && MakeDiskRoom())
            {
            }
            // Making room may have taken the state's own path with it.
            if (disk.HasRoomFor(state) && state is { IsReady: true, Nodes.Count: > 0 })
                disk.Write(state, PrefixTree.RootOf(state.Nodes[0]).Namespace!, PathTokens(state));
        }
    }

    private bool MakeDiskRoom()
    {
        if (disk.DropForeign())
            return true;
        if (disk.First(SavedPrefixes.EvictionRank) is not { } oldest)
            return false;
        disk.Remove(oldest);
        if (!oldest.IsUsable)
            saved.Forget(oldest);
        return true;
    }

    /// <summary>Places a file of an earlier run: its prefix must be in the tree, and what the tree holds already needs no second copy.</summary>
    private void Graft(DiskFile file, CacheFileHeader header, long lastUse)
    {
        if (header.PayloadBytes > saved.Host.BudgetBytes)
        {
            disk.Counters.IgnoredFiles++;
            disk.AdoptForeign(file);
            return;
        }
        PrefixNode root = tree.Root(header.NamespaceKey);
        SavedState state = new(header.Start, header.Tokens.AsSpan(header.Start).ToArray()) { LastUse = lastUse };
        PrefixNode? node = PrefixTree.Descend(root, header.Tokens, header.Start);
        if (header.Start == header.End)
            LinkCheckpoint(node, state);
        else
            node = LinkPiece(node, state, header);
        names.Place(root, file, header);
        if (state.Nodes.Count == 0)
        {
            disk.Counters.IgnoredFiles++;
            disk.Delete(file);
            tree.RemoveIfEmptyRoot(root);
            return;
        }
        disk.Adopt(state, file);
        for (; node is not null; node = node.Parent)
            if (node.Saved is { } above && above.LastUse < lastUse)
                above.LastUse = lastUse;
    }

    private static void LinkCheckpoint(PrefixNode? node, SavedState state)
    {
        if (node is not { IsRoot: false, Checkpoint: null })
            return;
        node.Checkpoint = state;
        state.Nodes.Add(node);
    }

    /// <summary>Adds the nodes that the tree lacks, and refers those to the state that no state has yet. Returns the last one.</summary>
    private static PrefixNode? LinkPiece(PrefixNode? node, SavedState state, CacheFileHeader header)
    {
        while (node is not null && node.End < header.End)
        {
            if (!node.Children.TryGetValue(header.Tokens[node.End], out PrefixNode? child))
            {
                child = PrefixTree.Add(node, state.Tokens[(node.End - state.Start)..]);
                child.LastUse = state.LastUse;
            }
            else if (child.Tokens.Span.CommonPrefixLength(header.Tokens.AsSpan(node.End)) is var common && common < child.Length)
                child = PrefixTree.Split(child, common);
            if (child.Saved is null)
            {
                child.Saved = state;
                state.Nodes.Add(child);
            }
            node = child;
        }
        return node;
    }

    /// <summary>The tokens of positions 0 to the state's end.</summary>
    private static int[] PathTokens(SavedState state)
    {
        int[] tokens = new int[state.End];
        for (PrefixNode node = state.Nodes[0]; !node.IsRoot; node = node.Parent!)
            if (node.Start < state.Start)
                node.Tokens.CopyTo(tokens.AsMemory(node.Start));
        state.Tokens.CopyTo(tokens.AsMemory(state.Start));
        return tokens;
    }
}
