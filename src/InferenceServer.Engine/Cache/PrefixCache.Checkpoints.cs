// Models that keep less than every position: windows that pass, recurrent states that are overwritten. What every layer keeps is shared as cells,
// like dense memory; the rest, the partial state, is saved on the way, and a request goes on from such a checkpoint only. Decode thread only.
// Always: a sequence publishes at checkpoints only, and where it starts in the tree there is one.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>The checkpoints that one prompt takes at regular distances may fill this part of host memory, not more.</summary>
    private const int RegularShare = 4;

    /// <summary>The model's memory cannot be cut anywhere.</summary>
    public bool NeedsCheckpoints => _checkpointBytes > 0;

    /// <summary>False where checkpoints are needed and there is no room for one.</summary>
    public bool SharesPrefixes => _checkpointBytes <= Host.BudgetBytes;

    public long CheckpointsTaken { get; private set; }

    public long CheckpointsRestored { get; private set; }

    /// <summary>Where the request's prefill pauses for checkpoints; null when none are taken.</summary>
    public CheckpointStops? StopsFor(GenerationRequest request)
    {
        if (!NeedsCheckpoints || !SharesPrefixes)
            return null;
        int promptTokens = request.PromptTokens.Length;
        int interval = CheckpointStops.LeastInterval;
        while (promptTokens / interval * _checkpointBytes > Host.BudgetBytes / RegularShare && interval < promptTokens)
            interval *= 2;
        return new CheckpointStops(promptTokens, request.MessageBoundaries, interval);
    }

    /// <summary>Publishes all that is computed, with a checkpoint at its end.</summary>
    /// <param name="goesOn">The sequence runs on, so it must not lose its state.</param>
    private void PublishWithCheckpoint(Sequence sequence, bool goesOn)
    {
        int end = sequence.Computed;
        if (end == sequence.Published)
            return;
        KvBlob? blob = PrefixTree.FindEnd(sequence.Node!, sequence.Tokens[..end])?.Checkpoint is { IsReady: true } known ? known.Memory : null;
        if (blob is null)
        {
            blob = new KvBlob(end, end);
            PendingOps.Add(KvOp.SaveCheckpoint(sequence.KvId, blob));
            CheckpointsTaken++;
        }
        bool hadDuplicates = Publish(sequence, end);
        if (hadDuplicates && goesOn)
            PendingOps.Add(KvOp.RestoreCheckpoint(blob, sequence.KvId));
        PrefixNode node = sequence.Node!;
        if (node.Checkpoint is null)
        {
            node.Checkpoint = new SavedState(end, default) { Memory = blob, LastUse = node.LastUse };
            node.Checkpoint.Nodes.Add(node);
            Host.AddUnsaved(node.Checkpoint, _checkpointBytes);
            _saved.Trim();
        }
        else
            _saved.TouchCheckpoint(node);
    }

    /// <summary>Puts the state at the sequence's node into its id. False when there is none in host memory; the root needs none.</summary>
    private bool RestoreCheckpoint(Sequence sequence)
    {
        PrefixNode node = sequence.Node!;
        if (node.IsRoot)
            return true;
        if (node.Checkpoint is not { IsReady: true, Memory: { } blob })
            return false;
        PendingOps.Add(KvOp.RestoreCheckpoint(blob, sequence.KvId));
        CheckpointsRestored++;
        return true;
    }

    /// <summary>Computed tokens that nobody else could use are given up.</summary>
    private void DropPrivate(Sequence sequence)
    {
        PendingOps.Add(KvOp.Remove(sequence.KvId, sequence.Published));
        Ledger.FreePrivate(sequence.PrivateCells);
        sequence.Computed = sequence.Published;
    }
}
