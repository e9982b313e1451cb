// Who of the waiting is admitted, and what it finds in the cache.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
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
    private void Admit(long now)
    {
        if (_waiting.Count == 0 || _running.Count >= _options.MaxSequences)
            return;
        _candidates.Clear();
        _looked.Clear();
        // One that was preempted with a token on its way has to know that first.
        _waiting.Candidates(MaxCandidates, now, static sequence => sequence.Awaits is not Awaited.Nothing || KnownToFollow(sequence), _looked);
        foreach (Sequence sequence in _looked)
        {
            PrefixMatch match = Cache.Match(sequence.NamespaceKey, sequence.ReusableTokens);
            _candidates.Add((_admission.RankOf(sequence, match.TotalTokens, now), sequence, match));
        }
        _candidates.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        foreach ((_, Sequence sequence, PrefixMatch match) in _candidates)
        {
            if (_running.Count >= _options.MaxSequences)
                return;
            if (FollowsALeader(sequence, match) || WaitsForDisk(sequence, match, now))
                continue;
            if (!HasRoomFor(sequence, match) || !Cache.TryBegin(sequence))
                return;
            Start(sequence, match, now);
        }
    }

    /// <summary>The leader found for it before still computes what they share, and nobody has that yet; so it need not be looked at, nor hide others.</summary>
    private static bool KnownToFollow(Sequence sequence) =>
        sequence.Leader is ({ KvId: not PrefixNode.NoHolder, Stops: null } leader, var common)
        && leader.Computed < Math.Min(common - MinFollowTokens, leader.PromptCount);

    /// <summary>A running request is computing a prefix that this one shares: wait for the shared part only.</summary>
    private bool FollowsALeader(Sequence sequence, PrefixMatch match)
    {
        if (!Cache.SharesPrefixes)
            return false;
        foreach (Sequence leader in _running)
        {
            if (leader.Computed >= leader.PromptCount || leader.Request.CacheNamespace != sequence.Request.CacheNamespace)
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
        sequence.DiskWaitOver = _time.GetElapsedTime(sequence.DiskWaitStart.Value, now) >= DiskWaitLimit
            || !Cache.TryLoad(sequence.NamespaceKey, sequence.Tokens[..match.TotalTokens]);
        return !sequence.DiskWaitOver;
    }

    private bool HasRoomFor(Sequence sequence, PrefixMatch match)
    {
        if (_running.Count == 0)
            return true;
        CellLedger cells = Cache.Ledger;
        int growth = Math.Min(GrowthCells * (_running.Count + 1), cells.Total / 4);
        int wanted = sequence.Count - match.ResidentTokens + growth;
        int evictable = cells.Cached - (match.ResidentTokens - match.PinnedTokens);
        return wanted <= cells.Free + evictable;
    }

    private void Start(Sequence sequence, PrefixMatch match, long now)
    {
        _waiting.Remove(sequence);
        _admission.Served(sequence, _waiting);
        int place = _running.FindIndex(other => ComesBefore(sequence, other));
        _running.Insert(place < 0 ? _running.Count : place, sequence);
        sequence.LastPrefillStep = _prefillSteps;
        sequence.FirstMatch = sequence.FirstScheduled is null ? match : null;
        sequence.FirstScheduled ??= now;
        // Where this prompt leaves what is known others may leave it too.
        if (match.TreeTokens >= sequence.Computed + CheckpointStops.LeastDistance && match.TreeTokens < sequence.PromptCount)
            sequence.Stops?.Add(match.TreeTokens, sequence.Computed);
        CountCached(sequence, sequence.HostTokens, sequence.DiskTokens);
    }

    /// <summary>Those whose restore takes more than a step get the next part of it.</summary>
    private void ContinueRestores()
    {
        Cache.RenewRestoreAllowance();
        foreach (Sequence sequence in _running)
        {
            if (!sequence.RestoresOn)
                continue;
            (int host, int disk) = (sequence.HostTokens, sequence.DiskTokens);
            Cache.ContinueRestore(sequence);
            CountCached(sequence, sequence.HostTokens - host, sequence.DiskTokens - disk);
        }
    }

    /// <summary>What its admission, or a further part of its restore, brought of the prompt.</summary>
    private void CountCached(Sequence sequence, int hostTokens, int diskTokens)
    {
        int reached = Math.Min(sequence.Computed, sequence.PromptCount);
        if (reached > sequence.PromptReached)
        {
            Counters.PromptCached += reached - sequence.PromptReached;
            Counters.Prompt += reached - sequence.PromptReached;
            sequence.PromptReached = reached;
        }
        Counters.HostHits += hostTokens;
        Counters.DiskHits += diskTokens;
        if (sequence.FirstMatch is not { } match)
            return;
        sequence.CachedTokens = reached;
        sequence.CacheReport = new CacheReport(sequence.HostTokens, sequence.DiskTokens, Cache.ExplainMiss(sequence, match), reached);
    }

    /// <summary>Who is preempted last: the higher priority, then the earlier arrival.</summary>
    private static bool ComesBefore(Sequence a, Sequence b) =>
        a.Request.Priority != b.Request.Priority ? a.Request.Priority > b.Request.Priority : a.Ordinal < b.Ordinal;
}
