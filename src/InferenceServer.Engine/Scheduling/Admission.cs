// Who of the waiting is admitted, and what it finds in the cache. Decode thread only.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

/// <param name="running">The batch, most deserving first; who is admitted joins it.</param>
internal sealed class Admission(EngineOptions options, PrefixCache cache, WaitingQueue waiting, AdmissionPolicy policy, List<Sequence> running, SchedulerCounters counters, TimeProvider time)
{
    /// <summary>A request waits for another's prefill only where it saves at least this many tokens: a shorter wait is not worth a step.</summary>
    private const int MinFollowTokens = 32;

    /// <summary>Only so many waiting requests are looked at in a step, of every key and priority: each look walks the cache's tree.</summary>
    private const int MaxCandidates = 64;

    /// <summary>Cells left for each running sequence to grow before another is admitted; fewer would preempt it again at once.</summary>
    private const int GrowthCells = 32;

    /// <summary>A request waits at most this long for its prefix to be read from disk; then it computes what is missing.</summary>
    private static readonly TimeSpan DiskWaitLimit = TimeSpan.FromSeconds(10);

    private readonly List<Sequence> _looked = [];
    private readonly List<(AdmissionPolicy.Rank Rank, Sequence Sequence, PrefixMatch Match)> _candidates = [];

    /// <summary>Moves waiting requests into the batch while there is room; who waits for another's prefix stays.</summary>
    /// <param name="prefillStep">The step with prefill that is planned or was planned last.</param>
    public void Admit(long prefillStep, long now)
    {
        if (waiting.Count == 0 || running.Count >= options.MaxSequences)
            return;
        _candidates.Clear();
        _looked.Clear();
        // One that was preempted with a token on its way has to know that first.
        waiting.Candidates(MaxCandidates, now, static sequence => sequence.Awaits is not Awaited.Nothing || KnownToFollow(sequence), _looked);
        foreach (Sequence sequence in _looked)
        {
            PrefixMatch match = cache.Match(sequence.NamespaceKey, sequence.ReusableTokens);
            _candidates.Add((policy.RankOf(sequence, match.TotalTokens, now), sequence, match));
        }
        _candidates.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        foreach ((_, Sequence sequence, PrefixMatch match) in _candidates)
        {
            if (running.Count >= options.MaxSequences)
                return;
            if (FollowsALeader(sequence, match) || WaitsForDisk(sequence, match, now))
                continue;
            if (!HasRoomFor(sequence, match) || !cache.TryBegin(sequence))
                return;
            Start(sequence, match, prefillStep, now);
        }
    }

    /// <summary>The leader found for it before still computes what they share, and nobody has that yet; so it need not be looked at, nor hide others.</summary>
    private static bool KnownToFollow(Sequence sequence) =>
        sequence.Leader is ({ KvId: not PrefixNode.NoHolder, Stops: null } leader, var common)
        && leader.Computed < Math.Min(common - MinFollowTokens, leader.PromptCount);

    /// <summary>A running request is computing a prefix that this one shares: wait for the shared part only.</summary>
    private bool FollowsALeader(Sequence sequence, PrefixMatch match)
    {
        if (!cache.SharesPrefixes)
            return false;
        foreach (Sequence leader in running)
        {
            if (leader.Computed >= leader.PromptCount || leader.NamespaceKey != sequence.NamespaceKey)
                continue;
            if (sequence.Leader.Leader != leader)
                sequence.Leader = (leader, leader.Tokens.CommonPrefixLength(sequence.ReusableTokens));
            int common = sequence.Leader.CommonTokens;
            if (common - match.TotalTokens < MinFollowTokens || leader.Computed >= common)
                continue;
            // The leader takes a checkpoint where the two part.
            if (leader.Stops is null || leader.Computed < leader.Stops.Add(common, leader.Computed))
                return true;
        }
        return false;
    }

    /// <summary>Part of its prefix is on disk only, and is being read.</summary>
    private bool WaitsForDisk(Sequence sequence, PrefixMatch match, long now)
    {
        if (sequence.DiskWaitOver || match.TotalTokens - match.ReadyTokens < PrefixCache.MinRestoreTokens)
            return false;
        sequence.DiskWaitStart ??= now;
        sequence.DiskWaitOver = time.GetElapsedTime(sequence.DiskWaitStart.Value, now) >= DiskWaitLimit
            || !cache.TryLoad(sequence.NamespaceKey, sequence.Tokens[..match.TotalTokens]);
        return !sequence.DiskWaitOver;
    }

    private bool HasRoomFor(Sequence sequence, PrefixMatch match)
    {
        if (running.Count == 0)
            return true;
        CellLedger cells = cache.Ledger;
        int growth = Math.Min(GrowthCells * (running.Count + 1), cells.Total / 4);
        int wanted = sequence.Count - match.ResidentTokens + growth;
        int evictable = cells.Cached - (match.ResidentTokens - match.PinnedTokens);
        return wanted <= cells.Free + evictable;
    }

    private void Start(Sequence sequence, PrefixMatch match, long prefillStep, long now)
    {
        waiting.Remove(sequence);
        policy.Served(sequence, waiting);
        int place = running.FindIndex(other => ComesBefore(sequence, other));
        running.Insert(place < 0 ? running.Count : place, sequence);
        sequence.LastPrefillStep = prefillStep;
        sequence.FirstMatch = sequence.FirstScheduled is null ? match : null;
        sequence.FirstScheduled ??= now;
        sequence.Generation.Begun();
        // Where this prompt leaves what is known others may leave it too.
        if (match.TreeTokens >= sequence.Computed + CheckpointStops.LeastDistance && match.TreeTokens < sequence.PromptCount)
            sequence.Stops?.Add(match.TreeTokens, sequence.Computed);
        CountCached(sequence, sequence.HostTokens, sequence.DiskTokens);
    }

    /// <summary>Those whose restore takes more than a step get the next part of it.</summary>
    public void ContinueRestores()
    {
        cache.RenewRestoreAllowance();
        foreach (Sequence sequence in running)
        {
            if (!sequence.RestoresOn)
                continue;
            (int host, int disk) = (sequence.HostTokens, sequence.DiskTokens);
            cache.ContinueRestore(sequence);
            CountCached(sequence, sequence.HostTokens - host, sequence.DiskTokens - disk);
        }
    }

    /// <summary>What its admission, or a further part of its restore, brought of the prompt.</summary>
    private void CountCached(Sequence sequence, int hostTokens, int diskTokens)
    {
        int reached = Math.Min(sequence.Computed, sequence.PromptCount);
        if (reached > sequence.PromptReached)
        {
            counters.PromptCached += reached - sequence.PromptReached;
            counters.Prompt += reached - sequence.PromptReached;
            sequence.PromptReached = reached;
        }
        counters.HostHits += hostTokens;
        counters.DiskHits += diskTokens;
        if (sequence.FirstMatch is not { } match)
            return;
        sequence.CachedTokens = reached;
        sequence.CacheReport = new CacheReport(sequence.HostTokens, sequence.DiskTokens, cache.ExplainMiss(sequence, match), reached);
    }

    /// <summary>Who is preempted last: the higher priority, then the earlier arrival.</summary>
    private static bool ComesBefore(Sequence a, Sequence b) =>
        a.Request.Priority != b.Request.Priority ? a.Request.Priority > b.Request.Priority : a.Ordinal < b.Ordinal;
}
