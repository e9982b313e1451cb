// What must hold between steps, recounted from scratch. Every step in tests and with EngineOptions.CheckInvariants; when idle otherwise.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

internal static class EngineInvariants
{
    /// <exception cref="InvalidOperationException">Names the first invariant that does not hold.</exception>
    public static void Check(Scheduler scheduler)
    {
        PrefixCache cache = scheduler.Cache;
        var pinsExpected = new Dictionary<PrefixNode, int>();
        int privateCells = 0;
        foreach (Sequence sequence in scheduler.Running)
        {
            Require(sequence is { Node: not null, KvId: >= 0 }, "a running sequence has a node and an id");
            Require(cache.Ids.OwnerOf(sequence.KvId) == SequenceIdOwner.Running, "a running sequence owns its id");
            Require(sequence.CanBeDrawn || !cache.Ids.IsDrawn(sequence.KvId), "whose logits the host needs has an id that gives them");
            Require(sequence.Published == sequence.Node!.End, "a sequence's published prefix ends at its node");
            Require(0 <= sequence.Published && sequence.Published <= sequence.Computed && sequence.Computed <= sequence.Count + sequence.DraftsInFlight,
                "0 <= published <= computed <= tokens and drafts in flight");
            Require(sequence is { PlannedRows: 0, End: null, IsFinished: false }, "between steps nothing is planned, and who has ended does not run");
            privateCells += sequence.PrivateCells;
            for (PrefixNode? node = sequence.Node; node is not null; node = node.Parent)
                pinsExpected[node] = pinsExpected.GetValueOrDefault(node) + 1;
        }
        foreach (Sequence sequence in scheduler.Waiting)
            Require(sequence is { Node: null, KvId: PrefixNode.NoHolder, Computed: 0, Published: 0 }, "a waiting sequence holds nothing");

        int cached = 0, pinned = 0;
        foreach (PrefixNode root in cache.Roots.Values)
            CheckNode(root, cache, pinsExpected, ref cached, ref pinned);
        CellLedger ledger = cache.Ledger;
        Require(ledger.Cached == cached, $"cached cells: ledger {ledger.Cached}, tree {cached}");
        Require(ledger.Pinned == pinned, $"pinned cells: ledger {ledger.Pinned}, tree {pinned}");
        Require(ledger.Private == privateCells, $"private cells: ledger {ledger.Private}, sequences {privateCells}");
        Require(ledger.Free >= 0, "free + cached + pinned + private == all cells");
        Require(cache.Host.UsedBytes == cache.Host.LeastRecentFirst.Sum(state => state.HostBytes), "the host tier's bytes add up");
        Require(cache.Host.LeastRecentFirst.All(state => state.Nodes.Count > 0), "every state in host memory belongs to a node");
        Require(cache.Sessions.Entries.All(session => session.Ends.All(node => node.Parent is not null && node.Sessions!.Contains(session))
            && (session.Newest is null || session.Ends.Contains(session.Newest))), "a session's turns are in the tree");
        if (cache.Disk is { } disk)
            Require(disk.UsedBytes == disk.CountBytes(), "the disk tier's bytes add up");
        CheckIds(scheduler);
        CheckCounters(scheduler);
    }

    private static void CheckNode(PrefixNode node, PrefixCache cache, Dictionary<PrefixNode, int> pins, ref int cached, ref int pinned)
    {
        Require(node.Pins == pins.GetValueOrDefault(node), "a node's pins are the running sequences below it");
        int residentChildren = 0;
        foreach ((int first, PrefixNode child) in node.Children)
        {
            Require(child.Parent == node && child.Start == node.End && child.Length > 0, "a child continues its parent");
            Require(child.Tokens.Span[0] == first, "siblings differ in their first token");
            Require(!child.IsResident || node.IsResident, "a resident node's ancestors are resident");
            residentChildren += child.IsResident ? 1 : 0;
            CheckNode(child, cache, pins, ref cached, ref pinned);
        }
        Require(node.ResidentChildren == residentChildren, "resident children are counted");
        if (node.IsRoot)
            return;
        Require(node.IsResident || node.Saved is not null, "a node is in some tier");
        Require(node.IsResident || (node.Pins == 0 && node.Holder == PrefixNode.NoHolder), "only resident nodes are pinned or have a holder");
        if (node.Saved is { } state)
        {
            Require(state.Nodes.Contains(node) && state.Start <= node.Start && node.End <= state.End, "a node's saved state covers it and knows it");
            Require(state.Tokens.Span.Slice(node.Start - state.Start, node.Length).SequenceEqual(node.Tokens.Span), "a node's saved state is of its tokens");
            CheckState(state);
        }
        if (node.Checkpoint is { } checkpoint)
        {
            Require(cache.NeedsCheckpoints && checkpoint.Nodes.Count == 1 && checkpoint.Nodes[0] == node, "a checkpoint belongs to one node, which knows it");
            Require(checkpoint.Start == node.End && checkpoint.End == node.End, "a checkpoint is at its node's end");
            CheckState(checkpoint);
        }
        Require(node.Sessions is null || node.Sessions.TrueForAll(session => session.Ends.Contains(node)), "a node and its sessions know each other");
        if (!node.IsResident)
            return;
        Require(residentChildren > 0 || node.Holder != PrefixNode.NoHolder, "a resident node without resident children has a holder");
        Require(node.Holder == PrefixNode.NoHolder || residentChildren == 0, "only leaves have a holder");
        Require(node.Pins > 0 || node.Holder == PrefixNode.NoHolder || cache.LeafOf(node.Holder) == node, "an unpinned leaf owns its id");
        if (node.Pins > 0)
            pinned += node.Length;
        else
            cached += node.Length;
    }

    private static void CheckState(SavedState state)
    {
        Require(state.HostEntry is not null ? state.Memory is not null || state.IsLoading : state.Memory is null,
            "a state is listed in the host tier while it takes room there");
        Require(state.Memory is not null || state.File is not null || state.IsWriting, "a saved state is in some tier");
    }

    private static void CheckIds(Scheduler scheduler)
    {
        SequenceIdPool ids = scheduler.Cache.Ids;
        int running = 0, leaves = 0, free = 0, scratch = 0;
        for (int id = 0; id < ids.Count; id++)
        {
            SequenceIdOwner owner = ids.OwnerOf(id);
            running += owner == SequenceIdOwner.Running ? 1 : 0;
            leaves += owner == SequenceIdOwner.Leaf ? 1 : 0;
            free += owner == SequenceIdOwner.Free ? 1 : 0;
            scratch += owner == SequenceIdOwner.Scratch ? 1 : 0;
            PrefixNode? leaf = scheduler.Cache.LeafOf(id);
            Require(leaf is not null == (owner == SequenceIdOwner.Leaf), "an id belongs to a leaf while a leaf has it");
            Require(leaf is null || leaf.Holder == id, "a leaf's holder is its id");
        }
        Require(running == scheduler.Running.Count && free == ids.FreeCount && running + leaves + free + scratch == ids.Count,
            "every id has exactly one owner");
    }

    private static void CheckCounters(Scheduler scheduler)
    {
        SchedulerCounters counters = scheduler.Counters;
        Require(
            counters.Accepted == scheduler.Waiting.Count + scheduler.Running.Count + counters.Finished + counters.Cancelled + counters.Failed,
            "accepted == waiting + running + finished + cancelled + failed");
        Require(counters.Prompt == counters.PromptComputed + counters.PromptCached, "prompt tokens == computed + cached");
    }

    private static void Require(bool holds, string invariant)
    {
        if (!holds)
            throw new InvalidOperationException($"Engine invariant broken: {invariant}.");
    }
}
