// One request inside the engine. Decode thread only; the scheduler alone moves it between waiting and running.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// A prompt and its reply so far. Always: published &lt;= computed &lt;= token count. There is no prefill and no decode phase:
/// <see cref="Computed"/> catches up with <see cref="Count"/>, through a cache hit, a chunk, or a decoded row.
/// </summary>
internal sealed class Sequence
{
    private int[] _tokens;

    public Sequence(Generation generation, long arrival, ulong ordinal, int vocabularySize, TextPool texts)
    {
        Generation = generation;
        Arrival = arrival;
        Ordinal = ordinal;
        NamespaceKey = PrefixCache.NamespaceKey(Request.CacheNamespace);
        ReadOnlySpan<int> prompt = Request.PromptTokens.Span;
        PromptCount = Count = prompt.Length;
        _tokens = new int[ExpectedCount];
        prompt.CopyTo(_tokens);
        Sampler = new Sampler(Request.Sampling, prompt, vocabularySize, fallbackSeed: (ulong)Random.Shared.NextInt64());
        Text = new TokenTextDecoder(Request.StopStrings, texts);
        PromptLogprobs = Request.PromptLogprobs is null ? null : new TokenLogprobs?[PromptCount];
        Thinking = Request.Thinking is { } limit ? new ThinkingWatch(limit) : null;
        if (Request.Constraint is { } constraint)
        {
            Constraint = new ConstraintState(constraint.Grammar, constraint.Vocabulary);
            Mask = new TokenMask(vocabularySize);
        }
    }

    public Generation Generation { get; }

    public GenerationRequest Request => Generation.Request;

    /// <summary>What stands for the request's namespace in the cache.</summary>
    public string NamespaceKey { get; }

    public Sampler Sampler { get; }

    public TokenTextDecoder Text { get; }

    /// <summary>Null where the reply may think as long as it likes.</summary>
    public ThinkingWatch? Thinking { get; }

    /// <summary>Where the reply is in its grammar; null when anything may be said. Moved on by whoever draws or forces a token.</summary>
    public ConstraintState? Constraint { get; }

    public TokenMask? Mask { get; }

    /// <summary>Filled as the prompt's rows are computed; null where nobody asked for them.</summary>
    public TokenLogprobs?[]? PromptLogprobs { get; }

    /// <summary>Tokens that may come from a cache: all but the newest, whose logits are needed, and none whose log probabilities are still to be had.</summary>
    public ReadOnlySpan<int> ReusableTokens => Tokens[..(PromptLogprobs is null ? Count - 1 : Math.Min(Count - 1, PromptReached))];

    /// <summary>Null until the first guess.</summary>
    public Speculation? Speculation { get; set; }

    /// <summary>Timestamps of the engine's clock.</summary>
    public long Arrival { get; }

    public long? FirstScheduled { get; set; }

    public long? FirstToken { get; set; }

    /// <summary>Order of arrival; breaks ties.</summary>
    public ulong Ordinal { get; }

    /// <summary>Prompt and reply.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);

    public int Count { get; private set; }

    public int PromptCount { get; }

    /// <summary>Room for prompt and reply from the start; longer replies are rare enough to pay for theirs.</summary>
    public int ExpectedCount => PromptCount + Math.Min(Request.MaxTokens, 1024);

    public int CompletionCount => Count - PromptCount;

    /// <summary>Tokens whose KV is in the pool under <see cref="KvId"/>.</summary>
    public int Computed { get; set; }

    /// <summary>Tokens whose KV is part of the tree; ends at <see cref="Node"/>.</summary>
    public int Published { get; set; }

    public PrefixNode? Node { get; set; }

    public int KvId { get; set; } = PrefixNode.NoHolder;

    /// <summary>Cells that only this sequence holds.</summary>
    public int PrivateCells => Computed - Published;

    /// <summary>Prompt tokens that a cache supplied when the request was first admitted.</summary>
    public int CachedTokens { get; set; }

    /// <summary>Tokens that its newest admission restored from host memory, and from disk.</summary>
    public int HostTokens { get; set; }

    public int DiskTokens { get; set; }

    /// <summary>What the request's first admission found; for its result.</summary>
    public CacheReport CacheReport { get; set; } = CacheReport.None;

    /// <summary>Where its prefill pauses for checkpoints; null where none are taken.</summary>
    public CheckpointStops? Stops { get; init; }

    /// <summary>Since when it waits for the disk; null when it has not had to.</summary>
    public long? DiskWaitStart { get; set; }

    /// <summary>It has waited for the disk and takes what is there now.</summary>
    public bool DiskWaitOver { get; set; }

    /// <summary>How far the prompt ever got: what lies behind was computed or cached once, and is recomputed after a preemption.</summary>
    public int PromptReached { get; set; }

    /// <summary>The number of the step with prefill that last computed a part of its prompt, or that admitted it.</summary>
    public long LastPrefillStep { get; set; }

    /// <summary>How long its reply has waited for steps with others' prompts alone.</summary>
    public double SecondsHeldBack { get; set; }

    /// <summary>Steps in a row that failed with this sequence in them.</summary>
    public int FailedSteps { get; set; }

    /// <summary>Sum of the sequences that the steps computed which gave it a token, and count of these steps, for the mean batch.</summary>
    public long BatchSequences { get; set; }

    public long BatchSteps { get; set; }

    /// <summary>The running sequence whose common prefix was last compared with this one's, and its length.</summary>
    public (Sequence? Leader, int CommonTokens) Leader { get; set; }

    public void Append(int token)
    {
        if (Count == _tokens.Length)
            Array.Resize(ref _tokens, _tokens.Length * 2);
        _tokens[Count++] = token;
    }
}
