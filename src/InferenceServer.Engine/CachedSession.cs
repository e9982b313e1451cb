namespace InferenceServer.Engine;

/// <summary>A named conversation in the prefix cache.</summary>
/// <param name="Tokens">Of its newest turn, prompt and reply: what the next turn would find. 0 when every tier has dropped it.</param>
/// <param name="PoolTokens">Of these, in the KV pool.</param>
/// <param name="HostTokens">In host memory only, or there and on disk.</param>
/// <param name="DiskTokens">On disk only.</param>
/// <param name="LastUsed">When a turn of it last ended.</param>
public sealed record CachedSession(string Id, int Tokens, int PoolTokens, int HostTokens, int DiskTokens, DateTimeOffset LastUsed);

/// <summary>The values of <see cref="CacheReport.Reason"/>. None of them tells anything of another namespace.</summary>
public static class CacheMissReasons
{
    /// <summary>Entries go on from there with other tokens.</summary>
    public const string Diverged = "diverged";

    /// <summary>The entry ends there: the usual end of a growing conversation.</summary>
    public const string EndOfEntry = "end_of_entry";

    /// <summary>Nothing of the namespace is cached.</summary>
    public const string NothingCached = "nothing_cached";

    /// <summary>A longer prefix was cached and made room for others.</summary>
    public const string Evicted = "evicted";

    /// <summary>More is known, but this model's memory goes on from checkpoints only, and this was the last one on the way.</summary>
    public const string LastCheckpoint = "last_checkpoint";

    /// <summary>This model's memory goes on from checkpoints only, and there is no host memory for them, or cells are not shared.</summary>
    public const string NotShareable = "not_shareable";

    /// <summary>A lower tier holds more, but there was no room for it, too little of it to be worth it, or the disk was too slow.</summary>
    public const string NotRestored = "not_restored";
}
