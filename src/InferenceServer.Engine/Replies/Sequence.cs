// One request inside the engine. Decode thread only; the scheduler alone moves it between waiting and running.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine.Replies;

/// <summary>
/// A prompt and its reply so far. Always: published &lt;= computed &lt;= token count + unverified drafts. There is no prefill and no decode phase:
/// <see cref="Computed"/> catches up with <see cref="Count"/>, through a cache hit, a chunk, or a decoded row. What a launched step computes counts as computed,
/// since the memory takes what follows in order.
/// </summary>
internal sealed class Sequence
{
    private int[] _tokens;

    public Sequence(Generation generation, long arrival, ulong ordinal, int vocabularySize, TextPool texts)
    {
        Generation = generation;
        Arrival = arrival;
        Ordinal = ordinal;
        NamespaceKey = PrefixTree.NamespaceKey(Request.CacheNamespace, Request.Adapters.Key);
        ReadOnlySpan<int> prompt = Request.PromptTokens.Span;
        PromptCount = Count = prompt.Length;
        _tokens = new int[ExpectedCount];
        prompt.CopyTo(_tokens);
        Sampler = new Sampler(Request.Sampling, prompt, vocabularySize, fallbackSeed: generation.FallbackSeed);
        Text = new TokenTextDecoder(Request.StopStrings, texts, Request.BeforeAnswer);
        PromptLogprobs = Request.PromptLogprobs is null ? null : new TokenLogprobs?[PromptCount];
        Thinking = Request.Thinking is { } limit ? new ThinkingWatch(limit) : null;
        CanBeDrawn = Sampler.IsPlain && Request is { Constraint: null, PromptLogprobs: null, PredictedTokens.IsEmpty: true };
        if (Request.Constraint is { } constraint)
        {
            Constraint = new ConstraintState(constraint.Grammar, constraint.Vocabulary);
            Mask = new TokenMask(vocabularySize);
        }
    }

    public Generation Generation { get; }

    public GenerationRequest Request => Generation.Request;

    /// <summary>What stands for the request's namespace and adapters in the cache.</summary>
    public string NamespaceKey { get; }

    public AdapterSet Adapters => Request.Adapters;

    public Sampler Sampler { get; }

    public TokenTextDecoder Text { get; }

    /// <summary>A device can draw its tokens: nobody but the plainest of samplers reads its logits, and no client guesses them.</summary>
    public bool CanBeDrawn { get; }

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

    /// <summary>What the step that is in flight will add to the tokens.</summary>
    public Awaited Awaits { get; set; }

    /// <summary>Rows in the step in flight that verify drafts; they count as computed until their tokens are known.</summary>
    public int DraftsInFlight { get; set; }

    /// <summary>Its rows in the plan that is being made, none of them launched yet.</summary>
    public int PlannedRows { get; set; }

    /// <summary>Why the reply ends with its newest token; null while it goes on. Its last text and event may be still to come.</summary>
    public FinishReason? End { get; set; }

    /// <summary>What failed, where <see cref="End"/> says that something did.</summary>
    public string? EndError { get; set; }

    /// <summary>Its last event is written, and it holds nothing any more; a row in flight was computed in vain.</summary>
    public bool IsFinished { get; set; }

    /// <summary>Whether one token more ends the reply for its length: then no row need follow it.</summary>
    public bool EndsWithNextToken(int contextLength) => CompletionCount + 1 >= Request.MaxTokens || Count + 1 >= contextLength;

    /// <summary>What comes after a token depends on more than the token: a grammar may force the next ones, a limit may end the thinking.</summary>
    public bool IsSteered => Constraint is not null || Thinking is not null;

    /// <summary>Tokens whose KV is in the pool under <see cref="KvId"/>, or will be when the step in flight is done.</summary>
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

    /// <summary>More of what it found in lower tiers is to be restored before it computes anything.</summary>
    public bool RestoresOn { get; set; }

    /// <summary>What all tiers held when it was first admitted; null once it has been preempted.</summary>
    public PrefixMatch? FirstMatch { get; set; }

    /// <summary>What the request's first admission found; for its result.</summary>
    public CacheReport CacheReport { get; set; } = CacheReport.None;

    /// <summary>Where its prefill pauses for checkpoints; null where none are taken.</summary>
    public CheckpointStops? Stops { get; init; }

    /// <summary>Since when it waits for the disk; null when it has not had to.</summary>
    public long? DiskWaitStart { get; set; }

    /// <summary>It has waited for the disk and takes what is there now.</summary>
    public bool DiskWaitOver { get; set; }

    /// <summary>How often it had to make room for others.</summary>
    public int Preemptions { get; set; }

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

/// <summary>What a sequence gets from the step in flight.</summary>
internal enum Awaited
{
    Nothing,

    /// <summary>Its next token, whose row can be planned before the token is known.</summary>
    OneToken,

    /// <summary>One or more: what comes next cannot be planned yet.</summary>
    Several,
}
