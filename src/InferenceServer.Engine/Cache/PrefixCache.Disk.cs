// The disk tier's place in the tree: which states are written, which are fetched for a waiting request, and where an earlier run's belong.
// Decode thread only; it never waits for the disk.

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>Files placed in the tree between two steps: each costs about as much as walking its tokens.</summary>
    private const int GraftsPerTurn = 64;

    private readonly Queue<(DiskFile File, CacheFileHeader Header, long LastUse)> _toGraft = new();

    /// <summary>States wait to be written, or these or names are being written.</summary>
    public bool HasDiskWrites => _disk is { HasUnwritten: true } or { IsWriting: true } or { IsNaming: true };

    /// <summary>Files of an earlier run wait for their place in the tree.</summary>
    public bool HasGrafts => _toGraft.Count > 0;

    /// <summary>Takes in what the disk thread has done and gives it more to write. True when anything changed.</summary>
    public bool SettleDiskTier()
    {
        if (_disk is null)
            return false;
        bool changed = _toGraft.Count > 0;
        while (_disk.Store.TryTake(out DiskResult result))
        {
            changed = true;
            if (result.Error is { } error)
                _disk.CountError(error);
            switch (result.Command.Kind)
            {
                case DiskCommandKind.Scan:
                    _isScanned = true;
                    if (result.Scan is { } scan)
                        TakeScan(scan);
                    break;
                case DiskCommandKind.Name:
                    _disk.Named();
                    break;
                case DiskCommandKind.Write:
                    if (_disk.Written(result.Command.State!, result.Written, result.Command.File!.Bytes) && !result.Command.State!.IsUsable)
                        ForgetSaved(result.Command.State);
                    break;
                case DiskCommandKind.Load:
                    TakeLoad(result);
                    break;
            }
        }
        for (int i = 0; i < GraftsPerTurn && _toGraft.TryDequeue(out (DiskFile File, CacheFileHeader Header, long LastUse) found); i++)
            Graft(found.File, found.Header, found.LastUse);
        while (_toGraft.Count == 0 && _disk.UsedBytes > _disk.BudgetBytes && MakeDiskRoom())
        {
        }
        WriteMore();
        TrimHostTier();
        SettleNames();
        return changed;
    }

    /// <summary>
    /// Asks for what the longest match needs and only the disk has. True while something of it is on its way, so waiting is worth it; the
    /// caller sets a limit to that.
    /// </summary>
    public bool TryLoad(string namespaceKey, ReadOnlySpan<int> tokens)
    {
        if (_disk is null || !Roots.TryGetValue(namespaceKey, out PrefixNode? node))
            return false;
        List<(PrefixNode Node, SavedState State)> missing = [];
        for (int depth = 0; depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child) && child.IsUsable; node = child)
        {
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            depth += common;
            if (child is { IsResident: false, Saved: { } saved } && child.Parent!.Saved != saved)
                missing.Add((child, saved));
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
            if (bytes > _host.BudgetBytes || state.Nodes.Count == 0)
                break;
            isComing |= !state.IsReady;
            if (state is { IsReady: false, IsLoading: false, File: { } file } && (_disk.LoadingBytes == 0 || _disk.LoadingBytes + file.PayloadBytes <= _host.BudgetBytes / 2))
            {
                Touch(child);
                _host.Add(state, file.PayloadBytes);
                _disk.Load(state, namespaceKey, PathTokens(state));
                TrimHostTier();
            }
        }
        return isComing;
    }

    private void TakeScan(DiskScan scan)
    {
        DiskCounters counters = _disk!.Counters;
        counters.DamagedFiles += scan.Damaged;
        counters.IgnoredFiles += scan.Foreign.Count;
        counters.Errors += scan.Unreadable;
        foreach (DiskFile file in scan.Foreign)
            _disk.AdoptForeign(file);
        // Parents before what hangs below them. The order of use goes on where the earlier run left off.
        foreach (((DiskFile file, CacheFileHeader header), int order) in scan.Files.Select((file, i) => (file, i)).OrderBy(found => found.file.Header.Start))
            _toGraft.Enqueue((file, header, order - scan.Files.Count));
        TakeNames(scan.Sessions);
    }

    private void TakeLoad(DiskResult result)
    {
        SavedState state = result.Command.State!;
        _disk!.Loaded(state, result.Command.File!.PayloadBytes);
        if (result.Loaded is { } data)
        {
            // Its room may have been given to others meanwhile; then it stays on disk.
            if (state.HostEntry is null)
                return;
            state.Memory = new KvBlob(state.Start, state.End);
            state.Memory.Fill(data);
            state.CameFromDisk = true;
            _host.Touch(state);
            return;
        }
        if (result.Damaged)
        {
            _disk.Counters.DamagedFiles++;
            _disk.Lost(state);
        }
        _host.Remove(state);
        ForgetSaved(state);
    }

    private void WriteMore()
    {
        while (_disk!.NextUnwritten() is { } state)
        {
            while (!_disk.HasRoomFor(state) && MakeDiskRoom())
            {
            }
            // Making room may have taken the state's own path with it.
            if (_disk.HasRoomFor(state) && state is { IsReady: true, Nodes.Count: > 0 })
                _disk.Write(state, PrefixTree.RootOf(state.Nodes[0]).Namespace!, PathTokens(state));
        }
    }

    private bool MakeDiskRoom()
    {
        if (_disk!.DropForeign())
            return true;
        if (_disk.First(EvictionRank) is not { } oldest)
            return false;
        _disk.Remove(oldest);
        if (!oldest.IsUsable)
            ForgetSaved(oldest);
        return true;
    }

    /// <summary>Places a file of an earlier run: its prefix must be in the tree, and what the tree holds already needs no second copy.</summary>
    private void Graft(DiskFile file, CacheFileHeader header, long lastUse)
    {
        if (header.PayloadBytes > _host.BudgetBytes)
        {
            _disk!.Counters.IgnoredFiles++;
            _disk.AdoptForeign(file);
            return;
        }
        PrefixNode root = _tree.Root(header.NamespaceKey);
        SavedState state = new(header.Start, header.Tokens.AsSpan(header.Start).ToArray()) { LastUse = lastUse };
        PrefixNode? node = PrefixTree.Descend(root, header.Tokens, header.Start);
        if (header.Start == header.End)
            LinkCheckpoint(node, state);
        else
            node = LinkPiece(node, state, header);
        PlaceTurns(root, file, header);
        if (state.Nodes.Count == 0)
        {
            _disk!.Counters.IgnoredFiles++;
            _disk.Delete(file);
            _tree.RemoveIfEmptyRoot(root);
            return;
        }
        _disk!.Adopt(state, file);
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
