// The prefix cache: a radix tree of tokens over sequence ids of one KV pool, with host and disk tiers below it.
// Decode thread only. Changes to the native memory leave as KvOps, in order. Always:
//   - the ledger balances and every id has one owner (CacheInvariants checks all of it);
//   - what a running sequence uses is pinned, and a pinned node is never evicted;
//   - no entry is found from another namespace, nor with other adapters than it was computed with: each has its own root.
// PrefixTree is the tree itself, KvPool its cells and ids, SavedPrefixes what host memory holds of it, DiskPrefixes what files do, SessionNames conversations over a restart.
// Here: what sequences do with these. PrefixCache.Entries.cs: what nobody runs on. .Tiers.cs: evicting and restoring. .Idle.cs: who leaves unasked. .Sessions.cs: what it
// tells about itself. .Checkpoints.cs: models that cannot be cut anywhere.

using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>Restoring fewer tokens than this costs more than computing them (a restore takes a step of its own).</summary>
    public const int MinRestoreTokens = 16;

    private readonly PrefixTree _tree;
    private readonly KvPool _pool;
    private readonly long _checkpointBytes;
    private readonly bool _reuses;
    private readonly IResidencyPolicy _residency;
    private readonly SavedPrefixes _saved;
    private readonly DiskPrefixes? _files;
    private readonly SessionNames? _names;

    /// <param name="limits">The pool, and what moving its contents costs. Where cells are shared the last sequence id is for saving and restoring; else copies are real and duplicates stay.</param>
    /// <param name="host">Where evicted entries and checkpoints go.</param>
    /// <param name="disk">Where saved entries are also written to; null for nowhere.</param>
    /// <param name="time">For when sessions were last used.</param>
    public PrefixCache(DecoderLimits limits, HostTier host, DiskTier? disk, TimeProvider time)
    {
        _tree = new PrefixTree(fromCheckpointsOnly: limits.CheckpointBytes > 0);
        _pool = new KvPool(limits);
        _checkpointBytes = limits.CheckpointBytes;
        _reuses = !limits.ComputesAlone;
        DeviceProfile device = limits.Device;
        _residency = device.WalksIdleCells ? new PayingResidency(device) : new StayingResidency();
        // A disk cache is asked for by name, and outlives this run.
        _savesEvicted = disk is not null || device.RestoresFasterThanComputing;
        _savedTokensPerStep = (int)Math.Clamp(SaveSeconds / (device.SaveSecondsPerToken + device.RestoreSecondsPerToken), LeastPiece, MostPiece) / LeastPiece * LeastPiece;
        _restoredTokensPerStep = (int)Math.Clamp(RestoreSeconds / device.RestoreSecondsPerToken, MinRestoreTokens, int.MaxValue);
        _restoreLeft = _restoredTokensPerStep;
        Sessions = new SessionTable(time);
        _saved = new SavedPrefixes(_tree, host, disk, Sessions);
        if (disk is null)
            return;
        _names = new SessionNames(Sessions, disk, time);
        _files = new DiskPrefixes(_tree, _saved, disk, _names);
    }

    public CellLedger Ledger => _pool.Ledger;

    public SequenceIdPool Ids => _pool.Ids;

    public HostTier Host => _saved.Host;

    public DiskTier? Disk => _saved.Disk;

    /// <summary>States wait to be written, or these or names are being written.</summary>
    public bool HasDiskWrites => _files is { HasWrites: true };

    /// <summary>Files of an earlier run wait for their place in the tree.</summary>
    public bool HasGrafts => _files is { HasGrafts: true };

    /// <summary>Sessions of an earlier run are listed as far as anything of them is left.</summary>
    public bool KnowsSessions => _names is null or { ArePlaced: true };

    /// <summary>Operations for the next step, in order; the plan takes them over.</summary>
    public List<KvOp> PendingOps => _pool.PendingOps;

    public long EvictedTokens { get; private set; }

    /// <summary>Of these, those that left for want of a sequence id and not of cells: each entry has one, and llama.cpp has 256.</summary>
    public long EvictedForIdsTokens { get; private set; }

    /// <summary>Saved states that were planned to be brought back.</summary>
    public long Restores { get; private set; }

    public IReadOnlyDictionary<string, PrefixNode> Roots => _tree.Roots;

    public int LeafCount => _pool.LeafCount;

    public PrefixNode? LeafOf(int id) => _pool.Leaves[id];

    /// <summary>After a step: takes in what was saved, and drops what could not be.</summary>
    public void SettleHostTier() => _saved.Settle();

    /// <summary>Takes in what the disk thread has done and gives it more to write. True when anything changed.</summary>
    public bool SettleDiskTier() => _files?.Settle(Ids.HasRunning) ?? false;

    /// <summary>Asks the disk for what the longest match needs. True while something of it is on its way; the caller limits how long it waits.</summary>
    public bool TryLoad(string namespaceKey, ReadOnlySpan<int> tokens) => _files?.TryLoad(namespaceKey, tokens) ?? false;

    /// <summary>The decoder would not take these states back: no tier keeps them.</summary>
    public void ForgetFailedRestores(IReadOnlyList<KvOp> ops) => _saved.ForgetFailedRestores(ops);

    /// <summary>So many rows were computed; entries that were idle for long may make room.</summary>
    public void CountRows(int rows) => _tree.CountRows(rows);

    /// <summary>
    /// Gives the sequence an id that holds the longest cached prefix of its tokens (all but the last: its logits are needed), restoring it
    /// from lower tiers, and pins that prefix. False, with nothing changed, when no id can be had.
    /// </summary>
    public bool TryBegin(Sequence sequence) => TryBegin(sequence, _reuses ? sequence.ReusableTokens.Length : 0);

    private bool TryBegin(Sequence sequence, int mostTokens)
    {
        PrefixNode root = _tree.Root(sequence.NamespaceKey);
        List<PrefixNode> path = _tree.Path(root, sequence.Tokens[..mostTokens]);
        // Most recent first, so that room made below is not made at the expense of the path itself.
        _saved.Touch(path.Count > 0 ? path[^1] : root);
        if (NeedsCheckpoints && path.Count > 0)
            _saved.TouchCheckpoint(path[^1]);
        PrefixNode resident = root;
        int restoreFrom = 0;
        for (; restoreFrom < path.Count && path[restoreFrom].IsResident; restoreFrom++)
            resident = path[restoreFrom];

        bool drawn = DrawsOnDevice && sequence.CanBeDrawn;
        // A leaf's id of the wrong kind stays with it, until its path goes on under the right one.
        bool takeOver = resident.Holder != PrefixNode.NoHolder && resident.Pins == 0 && Ids.IsDrawn(resident.Holder) == drawn;
        _pool.Pin(resident);
        long evicted = EvictedTokens;
        // One eviction may not free an id: the parent can inherit it.
        while (!takeOver && Ids.FreeCount == 0)
            if (!EvictOne())
            {
                Unpin(resident);
                return false;
            }
        EvictedForIdsTokens += EvictedTokens - evicted;
        sequence.Node = resident;
        sequence.Published = resident.End;
        sequence.KvId = _pool.RentFor(resident, takeOver, drawn);
        (sequence.HostTokens, sequence.DiskTokens) = (0, 0);
        RestorePath(sequence, path, restoreFrom);
        if (NeedsCheckpoints && !RestoreCheckpoint(sequence))
        {
            // Not all could be restored. What was is an entry now, and the next attempt finds a checkpoint above.
            int reached = sequence.Published;
            GiveBack(sequence);
            return TryBegin(sequence, reached);
        }
        sequence.Computed = sequence.Published;
        return true;
    }

    /// <summary>Whether sequences that the device can draw for get ids that it draws for.</summary>
    public bool DrawsOnDevice { get; private set; }

    /// <summary>Says who draws from the next step on: running sequences change over to ids of the other kind. Where no id is free for that they stay.</summary>
    public void ChooseDraws(bool onDevice, List<Sequence> running)
    {
        DrawsOnDevice = onDevice;
        foreach (Sequence sequence in running)
            if (sequence.CanBeDrawn && Ids.IsDrawn(sequence.KvId) != onDevice && Ids.FreeCount > 0)
                sequence.KvId = _pool.Move(sequence.KvId, sequence.Node!, onDevice);
    }

    /// <summary>What a step computed of the prompt becomes part of the tree, as far as others can use it.</summary>
    public void PublishPrompt(Sequence sequence)
    {
        if (!NeedsCheckpoints)
            Publish(sequence, Math.Min(sequence.Computed, sequence.PromptCount));
        else if (sequence.Stops?.Contains(sequence.Computed) is true && !_saved.CheckpointsFail)
            PublishWithCheckpoint(sequence, goesOn: true);
    }

    /// <summary>Makes the tokens up to <paramref name="end"/>, all computed, part of the tree; duplicates of what it holds are freed.</summary>
    /// <returns>Whether there were duplicates. Where checkpoints are needed the sequence has then lost its partial state.</returns>
    private bool Publish(Sequence sequence, int end)
    {
        bool hadDuplicates = false;
        ReadOnlySpan<int> tokens = sequence.Tokens[..end];
        PrefixNode node = sequence.Node!;
        while (sequence.Published < end)
        {
            int position = sequence.Published;
            if (TryExtend(sequence, node, tokens[position..]))
            {
                sequence.Published = node.End;
                continue;
            }
            if (!node.Children.TryGetValue(tokens[position], out PrefixNode? child))
            {
                child = PrefixTree.Add(node, tokens[position..].ToArray());
                child.Pins = 1;
                Ledger.PublishPrivate(child.Length);
                _pool.MakeResident(child, sequence.KvId);
            }
            else
            {
                int common = child.Tokens.Span.CommonPrefixLength(tokens[position..]);
                if (common < child.Length)
                    child = PrefixTree.Split(child, common);
                child.Pins++;
                if (child.IsResident)
                {
                    Deduplicate(sequence, child);
                    hadDuplicates = true;
                    if (child.Pins == 1)
                        Ledger.Pin(child.Length);
                }
                else
                {
                    Ledger.PublishPrivate(child.Length);
                    _pool.MakeResident(child, sequence.KvId);
                }
            }
            node = child;
            sequence.Node = node;
            sequence.Published = node.End;
        }
        _saved.Touch(node);
        return hadDuplicates;
    }

    /// <summary>The sequence no longer runs: all it computed stays in the tree, if others can use it, and its id passes to its leaf or is freed.</summary>
    public void Release(Sequence sequence)
    {
        if (sequence.Node is null)
            return;
        if (!NeedsCheckpoints)
            Publish(sequence, sequence.Computed);
        else if (SharesPrefixes)
            PublishWithCheckpoint(sequence, goesOn: false);
        else
            DropPrivate(sequence);
        if (!sequence.Node.IsRoot)
            Sessions.Move(sequence.NamespaceKey, sequence.Request.SessionId, sequence.Node);
        GiveBack(sequence);
    }

    /// <summary>The id, which holds published tokens only, passes to the sequence's leaf or is freed.</summary>
    private void GiveBack(Sequence sequence)
    {
        _pool.GiveBack(sequence.KvId, sequence.Node!);
        Detach(sequence);
    }

    /// <summary>The native memory was lost: the sequence holds nothing any more. <see cref="ForgetResident()"/> follows.</summary>
    public void Abandon(Sequence sequence, int privateCells)
    {
        if (sequence.Node is not { } node)
            return;
        if (node.Holder == sequence.KvId)
            node.Holder = PrefixNode.NoHolder;
        Ids.Release(sequence.KvId);
        Ledger.FreePrivate(privateCells);
        Detach(sequence);
    }

    /// <summary>Takes back computed but unpublished tokens from <paramref name="start"/> on: rejected drafts.</summary>
    public void Discard(Sequence sequence, int start, int end)
    {
        if (start < sequence.Published)
            throw new InvalidOperationException("Published tokens cannot be discarded.");
        _pool.Discard(sequence.KvId, start, end);
    }

    /// <summary>Evicts least recently used leaves until that many cells are free; false when pinned and private cells leave too few.</summary>
    public bool EnsureFree(int cells)
    {
        while (Ledger.Free < cells)
            if (!EvictOne())
                return false;
        return true;
    }

    /// <summary>
    /// A small node that only this sequence uses grows with it: a prompt that came in many chunks is saved and restored in few pieces, none
    /// larger than what a step saves.
    /// </summary>
    private bool TryExtend(Sequence sequence, PrefixNode node, ReadOnlySpan<int> tokens)
    {
        if (node is not { IsRoot: false, Pins: 1, Saved: null, Checkpoint: null, Sessions: null, Children.Count: 0 } || node.Holder != sequence.KvId)
            return false;
        int count = Math.Min(tokens.Length, _savedTokensPerStep - node.Length);
        if (count <= 0)
            return false;
        node.Append(tokens[..count]);
        Ledger.PublishPrivate(count);
        return true;
    }

    /// <summary>The sequence computed what the tree already holds: its own cells go, and it tags the tree's.</summary>
    private void Deduplicate(Sequence sequence, PrefixNode shared)
    {
        if (!_pool.SharesCells)
        {
            Ledger.FreePrivate(shared.Length);
            return;
        }
        _pool.Discard(sequence.KvId, shared.Start, shared.End);
        _pool.Share(shared, sequence.KvId);
    }

    private void Detach(Sequence sequence)
    {
        Unpin(sequence.Node);
        sequence.Node = null;
        sequence.RestoresOn = false;
        sequence.KvId = PrefixNode.NoHolder;
        sequence.Published = 0;
        sequence.Computed = 0;
    }
}
