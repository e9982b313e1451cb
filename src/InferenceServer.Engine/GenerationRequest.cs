// The message that enters the engine: immutable, tokens only. Made on an HTTP thread, read by the decode thread.

using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine;

/// <summary>How urgent a request is; OpenAI's <c>service_tier</c>. Waiting raises the effective priority, so nothing starves.</summary>
public enum RequestPriority
{
    Flex,
    Default,
    Priority,
}

/// <summary>A grammar over a model's vocabulary.</summary>
public sealed record TokenConstraint(CompiledConstraint Grammar, TokenVocabularyTrie Vocabulary);

/// <summary>One prompt to continue. Everything the decode thread needs, and nothing of HTTP, JSON or templates.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt, never empty; the caller has checked that it fits <see cref="InferenceEngine.ContextLength"/>.</summary>
    public required ReadOnlyMemory<int> PromptTokens { get; init; }

    /// <summary>Most tokens to generate; the context length bounds it too. 0 computes the prompt only.</summary>
    public required int MaxTokens { get; init; }

    public SamplingOptions Sampling { get; init; } = SamplingOptions.Default;

    /// <summary>Texts that end the reply; they are not part of it. Found across token boundaries.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>What comes before an answer, where <see cref="StopStrings"/> do not act; null where they act from the start.</summary>
    public AnswerFrame? BeforeAnswer { get; init; }

    /// <summary>Tokens that end the reply besides the vocabulary's own end-of-generation tokens.</summary>
    public IReadOnlyList<int> StopTokens { get; init; } = [];

    /// <summary>Go on after an end-of-generation token until <see cref="MaxTokens"/> (benchmarks ask for it).</summary>
    public bool IgnoreEndOfGeneration { get; init; }

    /// <summary>Control tokens such as <c>&lt;|channel|&gt;</c> that are written into the text, where whoever reads the reply needs them; all others leave no trace.</summary>
    public IReadOnlySet<int>? ControlTokensInText { get; init; }

    /// <summary>What the reply must obey; null for anything.</summary>
    public TokenConstraint? Constraint { get; init; }

    /// <summary>How long the reply may think in the open; null for no limit. Not together with log probabilities, which forced tokens have none of.</summary>
    public ThinkingLimit? Thinking { get; init; }

    /// <summary>Cache entries are shared only within one namespace (tenant, salt), and there among requests with the same <see cref="Adapters"/>.</summary>
    public string CacheNamespace { get; init; } = "";

    /// <summary>The LoRA adapters that it is computed with. What is submitted holds them to its end.</summary>
    public AdapterSet Adapters { get; init; } = AdapterSet.None;

    /// <summary>Names a conversation whose cached prefix is kept longer than others; null when the client named none.</summary>
    public string? SessionId { get; init; }

    public RequestPriority Priority { get; init; } = RequestPriority.Default;

    /// <summary>Who asks, for round robin within a priority: an API key's fingerprint.</summary>
    public string FairnessKey { get; init; } = "";

    /// <summary>When to give up, counted from arrival through queue and prefill; null for no limit.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Tokens the client expects as reply (OpenAI's <c>prediction</c>): verified as a draft, never trusted.</summary>
    public ReadOnlyMemory<int> PredictedTokens { get; init; }

    /// <summary>
    /// Report the log probability of every prompt token after the first, with so many of the most likely ones at each place; null reports none. The
    /// whole prompt is computed for it, whatever a cache holds, in slices as long as a step has room for logits.
    /// </summary>
    public int? PromptLogprobs { get; init; }

    /// <summary>Token counts of the prompt at which a message ends: where models with partial memory take checkpoints.</summary>
    public IReadOnlyList<int> MessageBoundaries { get; init; } = [];
}
