// A node of the radix tree. Decode thread only; PrefixCache alone changes it.

namespace InferenceServer.Engine.Cache;

/// <summary>
/// Tokens <c>[Start, End)</c> of a prompt after its parent's. Their KV is in the pool (<see cref="IsResident"/>), saved in a lower tier, or both.
/// Always: a resident node's ancestors are resident; siblings differ in their first token; a resident node without resident children has a holder.
/// </summary>
/// <param name="seed">Of a root: where hashes start, different for each namespace.</param>
internal sealed class PrefixNode(PrefixNode? parent, ReadOnlyMemory<int> tokens, int start, ulong seed = 0)
{
    /// <summary>No sequence id.</summary>
    public const int NoHolder = -1;

    public PrefixNode? Parent { get; set; } = parent;

    public ReadOnlyMemory<int> Tokens { get; set; } = tokens;

    public int Start { get; set; } = start;

    public int Length => Tokens.Length;

    public int End => Start + Tokens.Length;

    public Dictionary<int, PrefixNode> Children { get; } = [];

    public bool IsResident { get; set; }

    /// <summary>Some tier has it.</summary>
    public bool IsUsable => IsResident || Saved is { IsUsable: true };

    public int ResidentChildren { get; set; }

    /// <summary>The id that tags this path's cells when no resident child's does: the leaf's own, or a running sequence's.</summary>
    public int Holder { get; set; } = NoHolder;

    /// <summary>Running sequences whose published prefix ends in this subtree.</summary>
    public int Pins { get; set; }

    /// <summary>What lower tiers hold of it; null for nothing.</summary>
    public SavedState? Saved { get; set; }

    /// <summary>The partial state at <see cref="End"/>, from which models that cannot be cut anywhere go on; null for none.</summary>
    public SavedState? Checkpoint { get; set; }

    /// <summary>A counter of uses, not a time: larger is more recent.</summary>
    public long LastUse { get; set; }

    /// <summary>How many rows had been decoded at its last use: what it has cost since.</summary>
    public long LastUseRows { get; set; }

    /// <summary>Named conversations of which a turn ends here; null for none.</summary>
    public List<SessionEntry>? Sessions { get; set; }

    /// <summary>Hash of the namespace and of all tokens up to <see cref="End"/>.</summary>
    public ulong PrefixHash { get; private set; } = EvictedPrefixes.Extend(parent?.PrefixHash ?? seed, tokens.Span);

    /// <summary>A root's namespace; null on other nodes.</summary>
    public string? Namespace { get; init; }

    public bool IsRoot => Namespace is not null;

    public void Append(ReadOnlySpan<int> more)
    {
        Tokens = (int[])[.. Tokens.Span, .. more];
        PrefixHash = EvictedPrefixes.Extend(PrefixHash, more);
    }
}

/// <summary>How much of a prompt the cache holds, up to where a request can go on from: where checkpoints are needed, the last of them.</summary>
/// <param name="PinnedTokens">Prefix that running sequences hold: it takes nothing from what can be evicted.</param>
/// <param name="ResidentTokens">Prefix in the KV pool.</param>
/// <param name="ReadyTokens">Prefix in the pool or in host memory: to be had in the next step.</param>
/// <param name="TotalTokens">Prefix over all tiers.</param>
/// <param name="TreeTokens">Prefix in the tree, whether or not one can go on from its end.</param>
internal readonly record struct PrefixMatch(int PinnedTokens, int ResidentTokens, int ReadyTokens, int TotalTokens, int TreeTokens);
