// Draws one sequence's next token from its row of logits. Belongs to the sequence: one thread at a time, the decode thread or a sampling helper.
// Always: the draw is a function of (options, logits, mask, seed, tokens accepted so far) alone, whatever else is in the batch.
//
// The order of operations, each only where the request asks for it:
//   log probabilities (of the row as the model made it, as OpenAI reports them) -> logit bias -> repetition, frequency, presence penalty, DRY -> mask
//   -> temperature -> top_n_sigma -> top_k -> typical_p -> top_p -> min_p -> XTC -> pick. A dynamic temperature comes after XTC instead: it depends on what is left.
// Mirostat, where it is asked for, stands in the place of penalties, DRY and everything after the temperature, as in llama.cpp.
// Within a constraint the mask comes last: a draw without it stands where the constraint allows the token, and only a refused one is drawn again
// with the mask (without truncation this is exactly the masked distribution; with it, the truncations see all tokens first, as in llama.cpp).
// Each truncation sees the distribution that the one before it left, renormalised. Plain rows take two paths that read the row about once:
// greedy, and temperature without truncation. Truncations work on the few candidates that a bound from per-block maxima lets through.

using System.Buffers;
using InferenceServer.Engine.Constraints;

namespace InferenceServer.Engine.Sampling;

/// <summary>The sampler of one sequence: options, random numbers, counts for penalties. Not for two threads at once.</summary>
public sealed class Sampler
{
    /// <summary>The lowest log probability reported: JSON has no minus infinity, and OpenAI writes this for "too unlikely to tell".</summary>
    public const float LowestLogprob = -9999;

    /// <summary>OpenAI's and this server's most for <see cref="SamplingOptions.TopLogprobs"/>.</summary>
    public const int MostTopLogprobs = 20;

    /// <summary>Colder than this is greedy: 1 / temperature would leave the range in which exponents are exact.</summary>
    private const float ColdestTemperature = 1e-6f;

    /// <summary>A mask that allows fewer than one token in this many is sampled from the allowed tokens alone, without touching the row.</summary>
    private const int SparseMaskShare = 16;

    /// <summary>An attempt costs up to 35 us over 152k logits, the exact search that follows up to 2 ms; at top_p 0.5 one row in 256 gets there.</summary>
    private const int RejectionAttempts = 8;

    /// <summary>Random numbers that one draw of a token may use; a second draw of the same token takes the next ones.</summary>
    private const int NumbersPerDraw = RejectionAttempts + 1;

    /// <summary>Whether XTC excludes is decided by a number of its own, so that the others are the same with it and without.</summary>
    private const int NumberOfXtc = 1_000;

    private readonly SamplingOptions _options;
    private readonly int _vocabularySize;
    private readonly ulong _seed;
    private readonly float _scale;
    private readonly KeyValuePair<int, float>[] _logitBias; // An array: enumerating the options' list would allocate for each token.
    private readonly TokenPenalties? _penalties;
    private readonly DryPenalty? _dry;
    private readonly Mirostat? _mirostat;
    private readonly float[] _maxima;
    private readonly double[] _sums;
    private int _firstNumber;
    private float _sigmas;

    /// <param name="options">Checked here: <see cref="ArgumentException"/> names a value out of range.</param>
    /// <param name="promptTokens">Read only for the repetition penalty and for DRY.</param>
    /// <param name="vocabularySize">Logits in a row.</param>
    /// <param name="fallbackSeed">The seed where the options have none: the caller's fresh random number.</param>
    public Sampler(SamplingOptions options, ReadOnlySpan<int> promptTokens, int vocabularySize, ulong fallbackSeed)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(vocabularySize);
        _options = options;
        _vocabularySize = vocabularySize;
        CheckOptions();
        foreach (int token in promptTokens)
            CheckToken(token, nameof(promptTokens));

        _seed = options.Seed ?? fallbackSeed;
        _mirostat = Mirostat.Create(options, vocabularySize);
        _scale = IsGreedy || HasDynamicTemperature ? 1 : 1 / options.Temperature;
        _logitBias = [.. options.LogitBias];
        _penalties = _mirostat is null ? TokenPenalties.Create(options, promptTokens) : null;
        _dry = _mirostat is null && options.Dry is { Multiplier: > 0 } dry ? new DryPenalty(dry, promptTokens) : null;
        _maxima = new float[LogitKernels.BlockCount(vocabularySize)];
        _sums = new double[_maxima.Length];
    }

    /// <summary>Tokens accepted so far: the position that the next random number belongs to.</summary>
    public int AcceptedTokens { get; private set; }

    private bool IsGreedy => _options.Temperature < ColdestTemperature;

    /// <summary>Nothing but temperature and random number decides: a device that has the logits can draw as well, with what <see cref="NextDraw"/> says.</summary>
    internal bool IsPlain => _logitBias.Length == 0 && _penalties is null && _dry is null && _options.TopLogprobs is null && (IsGreedy || !Truncates);

    /// <summary>The temperature, 0 for greedy, and the random number of the next token.</summary>
    internal (float Temperature, double Uniform) NextDraw => (IsGreedy ? 0 : _options.Temperature, CounterRandom.Uniform(_seed, (ulong)AcceptedTokens, 0));

    private bool Truncates => _mirostat is not null || TopK > 0 || _options is not { TypicalP: 1, TopP: 1, MinP: 0 } || NeedsCandidates;

    /// <summary>Whether a token stays depends on more than the weight before it.</summary>
    private bool NeedsCandidates => _options.TopNSigma > 0 || ExcludesLikely || HasDynamicTemperature;

    private bool HasDynamicTemperature => _mirostat is null && _options.DynamicTemperatureRange > 0;

    private bool ExcludesLikely => _options is { XtcProbability: > 0, XtcThreshold: <= 0.5f };

    /// <summary>Counts a token that joined the reply, drawn here or not.</summary>
    public void Accept(int token)
    {
        CheckToken(token, nameof(token));
        AcceptedTokens++;
        _mirostat?.Accept(token);
        _penalties?.Accept(token);
        _dry?.Accept(token);
    }

    /// <summary>
    /// Draws a token. Changes nothing that a draw depends on: called again before <see cref="Accept"/> with the same row it gives the same token.
    /// So a draft is verified row by row: sample, accept, and go on to the next row while the draft agreed; nothing needs undoing.
    /// </summary>
    /// <param name="logits">One logit a token of the vocabulary. Bias, penalties and mask are written into it.</param>
    /// <param name="mask">The tokens that may be drawn; null for all.</param>
    /// <exception cref="NoTokenToSampleException">Nothing can be drawn from this row.</exception>
    public SampledToken Sample(Span<float> logits, TokenMask? mask = null) => Sample(logits, mask, constraint: null);

    /// <summary>Draws a token that a constraint allows. Nearly always the first draw is one, and no mask is made.</summary>
    /// <param name="logits">As for <see cref="Sample(Span{float}, TokenMask?)"/>.</param>
    /// <param name="constraint">Where the reply is; not moved on.</param>
    /// <param name="mask">Overwritten where the first draw was refused.</param>
    /// <exception cref="NoTokenToSampleException">Nothing can be drawn from this row.</exception>
    public SampledToken SampleWithin(Span<float> logits, ConstraintState constraint, TokenMask mask) => Sample(logits, mask, constraint);

    private SampledToken Sample(Span<float> logits, TokenMask? mask, ConstraintState? constraint)
    {
        if (logits.Length != _vocabularySize)
            throw new ArgumentException($"The row has {logits.Length} logits, the vocabulary {_vocabularySize} tokens.", nameof(logits));
        if (mask is not null && mask.VocabularySize != _vocabularySize)
            throw new ArgumentException($"The mask is over {mask.VocabularySize} tokens, the vocabulary has {_vocabularySize}.", nameof(mask));
        if (_options.TopLogprobs is not int top)
            return new SampledToken(Draw(logits, mask, constraint), null);

        float[] raw = ArrayPool<float>.Shared.Rent(logits.Length);
        logits.CopyTo(raw);
        int token = Draw(logits, mask, constraint);
        TokenLogprobs logprobs = Logprobs(raw.AsSpan(0, logits.Length), token, top);
        ArrayPool<float>.Shared.Return(raw);
        return new SampledToken(token, logprobs);
    }

    private int Draw(Span<float> logits, TokenMask? mask, ConstraintState? constraint)
    {
        foreach ((int token, float bias) in _logitBias)
            logits[token] += bias;
        _penalties?.Apply(logits);
        _dry?.Apply(logits);

        // Of all tokens: a mask tells nothing of how they spread.
        _sigmas = _options.TopNSigma > 0 && !IsGreedy && _mirostat is null ? _options.TopNSigma * Deviation(logits) : 0;
        _firstNumber = 0;
        if (constraint is null)
            return Pick(logits, mask);
        int free = Pick(logits, mask: null);
        if (constraint.IsTokenAllowed(free))
            return free;
        constraint.FillMask(mask!);
        _firstNumber = NumbersPerDraw;
        return Pick(logits, mask);
    }

    private int Pick(Span<float> logits, TokenMask? mask)
    {
        if (mask is not null)
        {
            int allowed = mask.Count;
            if (allowed <= _vocabularySize / SparseMaskShare)
                return DrawFromFew(logits, mask, allowed);
            mask.Apply(logits);
        }
        if (IsGreedy)
        {
            float max = LogitKernels.BlockMaxima(logits, _maxima);
            CheckAny(max, mask);
            return LogitKernels.IndexOfMaximum(logits, _maxima, max);
        }
        return _mirostat is not null ? DrawSteered(logits, mask) : Truncates ? DrawTruncated(logits, mask) : DrawFromAll(logits, mask);
    }

    /// <summary>0 where top_k keeps everything.</summary>
    private int TopK => _options.TopK < _vocabularySize ? _options.TopK : 0;

    private int DrawFromAll(ReadOnlySpan<float> logits, TokenMask? mask)
    {
        float max = LogitKernels.BlockSums(logits, _scale, _maxima, _sums, out double total);
        CheckAny(max, mask);
        return float.IsPositiveInfinity(max)
            ? LogitKernels.IndexOfMaximum(logits, _maxima, max)
            : LogitKernels.IndexOfCumulative(logits, _sums, max, _scale, Uniform(0) * total);
    }

    private int DrawFromFew(ReadOnlySpan<float> logits, TokenMask mask, int allowed)
    {
        using CandidateSet candidates = CandidateSet.FromMask(logits, mask, allowed);
        float max = candidates.Count == 0 ? float.NegativeInfinity : candidates.MaxLogit();
        CheckAny(max, mask);
        return IsGreedy || float.IsPositiveInfinity(max) ? candidates.Best() : _mirostat is not null ? DrawSteered(candidates, max, total: null, most: null) : Truncate(candidates, max, mass: null);
    }

    private int DrawTruncated(ReadOnlySpan<float> logits, TokenMask? mask)
    {
        // top_p (and min_p) alone are over the whole row, whose weight only a pass over it can tell.
        bool needsMass = TopK == 0 && _options is { TypicalP: 1 };
        double mass = 0;
        float max = needsMass
            ? LogitKernels.BlockSums(logits, _scale, _maxima, _sums, out mass)
            : LogitKernels.BlockMaxima(logits, _maxima);
        CheckAny(max, mask);
        if (float.IsPositiveInfinity(max))
            return LogitKernels.IndexOfMaximum(logits, _maxima, max);

        if (needsMass && !NeedsCandidates && DrawByRejection(logits, max, mass) is int accepted)
            return accepted;
        using CandidateSet candidates = CandidateSet.FromRow(logits, _maxima, Threshold(max, mass));
        return Truncate(candidates, max, needsMass && _options.TopNSigma == 0 ? mass : null);
    }

    /// <summary>
    /// top_p and min_p without looking for the cut: draw from the whole row, and keep the token if it is one that the truncations keep, else draw again.
    /// What is accepted has exactly the truncated distribution, and telling whether one token stays needs no order of the others, only the weight before it.
    /// (top_p 0.9 over 152k nearly equal logits: 70 us against 2,400 us by candidates.) Null when every attempt failed.
    /// </summary>
    private int? DrawByRejection(ReadOnlySpan<float> logits, float max, double mass)
    {
        float lowestExponent = _options.MinP > 0 ? MathF.Log(_options.MinP) : float.NegativeInfinity;
        for (int attempt = 0; attempt < RejectionAttempts; attempt++)
        {
            int token = LogitKernels.IndexOfCumulative(logits, _sums, max, _scale, Uniform(attempt) * mass);
            if ((logits[token] - max) * _scale >= lowestExponent
                && (_options.TopP == 1 || LogitKernels.SumBefore(logits, _maxima, max, _scale, token) < _options.TopP * mass))
                return token;
        }
        return null;
    }

    /// <summary>A logit below which no token can be drawn, whatever the truncations decide above it.</summary>
    private float Threshold(float max, double mass)
    {
        float hottest = HasDynamicTemperature ? MathF.Max(_options.Temperature + _options.DynamicTemperatureRange, 1) : 1 / _scale;
        float weightless = max + (VectorExp.SmallestExponent * hottest);
        if (_options.TopNSigma > 0)
            return MathF.BitDecrement(MathF.Max(weightless, max - _sigmas));
        if (TopK > 0)
            return MathF.Max(weightless, KthLargestMaximum(TopK));
        if (_options.TypicalP < 1)
            return weightless;

        float threshold = weightless;
        // The tokens below weight (1 - p) * mass / V hold less than 1 - p in all, so those above reach p without them.
        // The margin covers rounding: one candidate too many costs nothing, one too few would be wrong.
        if (_options.TopP < 1)
            threshold = MathF.Max(threshold, max + (float)(Math.Log((1.0 - _options.TopP) * mass / _vocabularySize) - 1e-3) / _scale);
        if (_options.MinP > 0)
            threshold = MathF.Max(threshold, max + (MathF.Log(_options.MinP) - 1e-3f) / _scale);
        return MathF.BitDecrement(threshold);
    }

    /// <summary>A lower bound of the k-th largest logit: k blocks hold a logit this large. Minus infinity where there are fewer blocks.</summary>
    private float KthLargestMaximum(int k)
    {
        if (k > _maxima.Length)
            return float.NegativeInfinity;
        float[] sorted = ArrayPool<float>.Shared.Rent(_maxima.Length);
        _maxima.CopyTo(sorted, 0);
        sorted.AsSpan(0, _maxima.Length).Sort();
        float bound = sorted[_maxima.Length - k];
        ArrayPool<float>.Shared.Return(sorted);
        return bound;
    }

    /// <param name="mass">The weight that top_p is a share of, where that is more than the candidates'.</param>
    private int Truncate(CandidateSet candidates, float max, double? mass)
    {
        if (_options.TopNSigma > 0)
            candidates.KeepFrom(max - _sigmas);
        if (TopK > 0)
            candidates.KeepTop(TopK);
        candidates.Weigh(max, _scale);
        if (_options.TypicalP < 1)
            candidates.KeepTypical(_options.TypicalP);
        if (_options.TopP < 1)
            candidates.KeepMass(_options.TopP * (mass ?? candidates.TotalWeight()));
        if (_options.MinP > 0)
            candidates.KeepLikely(_options.MinP);
        if (ExcludesLikely && Uniform(NumberOfXtc) < _options.XtcProbability)
            candidates.ExcludeLikely(_options.XtcThreshold);
        if (HasDynamicTemperature)
            WeighDynamically(ref candidates);
        return candidates.Pick(Uniform(RejectionAttempts));
    }

    private int DrawSteered(ReadOnlySpan<float> logits, TokenMask? mask)
    {
        float max = LogitKernels.BlockSums(logits, _scale, _maxima, _sums, out double total);
        CheckAny(max, mask);
        if (float.IsPositiveInfinity(max))
            return LogitKernels.IndexOfMaximum(logits, _maxima, max);
        float least = max + (VectorExp.SmallestExponent / _scale);
        int? most = null;
        if (_mirostat!.Counts)
        {
            using CandidateSet few = CandidateSet.FromRow(logits, _maxima, KthLargestMaximum(Mirostat.Estimated));
            most = MostTokens(few);
            least = MathF.Max(least, KthLargestMaximum(most.Value));
        }
        else
            // The margin covers rounding, as in Threshold.
            least = MathF.Max(least, max + ((float)(_mirostat.LeastLogWeight(total) - 1e-3) / _scale));
        using CandidateSet candidates = CandidateSet.FromRow(logits, _maxima, MathF.BitDecrement(MathF.Min(least, max)));
        return DrawSteered(candidates, max, total, most);
    }

    /// <param name="total">The weight of all tokens that may be drawn, where that is more than the candidates'.</param>
    /// <param name="most">How many to keep, where fewer candidates are left than tell.</param>
    private int DrawSteered(CandidateSet candidates, float max, double? total, int? most)
    {
        if (_mirostat!.Counts)
            candidates.KeepTop(most ?? MostTokens(candidates));
        candidates.Weigh(max, _scale);
        if (!_mirostat.Counts && _mirostat.LeastLogWeight(total ?? candidates.TotalWeight()) is var least)
        {
            // One token stays, however much the reply is to be calmed.
            if (least > 0)
                candidates.KeepTop(1);
            else
                candidates.KeepFrom(max + ((float)least / _scale));
        }
        int token = candidates.Pick(Uniform(RejectionAttempts), out float weight);
        _mirostat.Drew(token, weight / candidates.TotalWeight());
        return token;
    }

    private int MostTokens(CandidateSet candidates)
    {
        Span<(int Token, float Logit)> best = stackalloc (int, float)[Mirostat.Estimated];
        return _mirostat!.MostTokens(best[..candidates.CopyBest(best)], _scale);
    }

    /// <summary>By a temperature that is the higher the less sure the model is among the candidates.</summary>
    private void WeighDynamically(ref CandidateSet candidates)
    {
        float max = candidates.MaxLogit();
        candidates.Weigh(max, 1);
        float least = MathF.Max(_options.Temperature - _options.DynamicTemperatureRange, 0), most = _options.Temperature + _options.DynamicTemperatureRange;
        double temperature = least + ((most - least) * Math.Pow(candidates.EntropyShare(), _options.DynamicTemperatureExponent));
        candidates.Weigh(max, 1 / MathF.Max((float)temperature, ColdestTemperature));
    }

    /// <summary>The standard deviation of the logits that are numbers.</summary>
    private static float Deviation(ReadOnlySpan<float> logits)
    {
        double sum = 0, squares = 0;
        int count = 0;
        foreach (float logit in logits)
        {
            if (!float.IsFinite(logit))
                continue;
            sum += logit;
            squares += (double)logit * logit;
            count++;
        }
        double mean = sum / Math.Max(count, 1);
        return (float)Math.Sqrt(Math.Max(0, (squares / Math.Max(count, 1)) - (mean * mean)));
    }

    /// <summary>The log probability of a token that was given, not drawn, and of the most likely in its place.</summary>
    /// <param name="logits">The row as the model made it; not changed.</param>
    /// <param name="top">From 0 to <see cref="MostTopLogprobs"/>.</param>
    public TokenLogprobs Score(ReadOnlySpan<float> logits, int token, int top) => Logprobs(logits, token, top);

    /// <param name="draw">Which of the numbers that belong to this position.</param>
    private double Uniform(int draw) => CounterRandom.Uniform(_seed, (ulong)AcceptedTokens, (ulong)(_firstNumber + draw));

    /// <param name="raw">The row as the model made it.</param>
    private TokenLogprobs Logprobs(ReadOnlySpan<float> raw, int token, int top)
    {
        float max = LogitKernels.BlockSums(raw, 1, _maxima, _sums, out double total);
        double normaliser = max + Math.Log(total);
        if (top == 0)
            return new TokenLogprobs(token, Logprob(raw[token], normaliser), []);

        Span<(int Token, float Logit)> best = stackalloc (int, float)[MostTopLogprobs];
        using CandidateSet candidates = CandidateSet.FromRow(raw, _maxima, KthLargestMaximum(top));
        int count = candidates.CopyBest(best[..top]);
        TokenLogprob[] list = new TokenLogprob[count];
        for (int i = 0; i < count; i++)
            list[i] = new TokenLogprob(best[i].Token, Logprob(best[i].Logit, normaliser));
        return new TokenLogprobs(token, Logprob(raw[token], normaliser), list);
    }

    private static float Logprob(float logit, double normaliser)
    {
        // A logit of plus infinity makes the normaliser useless, and is all of the distribution.
        if (float.IsPositiveInfinity(logit))
            return 0;
        float logprob = (float)(logit - normaliser);
        return logprob > LowestLogprob ? MathF.Min(logprob, 0) : LowestLogprob;
    }

    private static void CheckAny(float max, TokenMask? mask)
    {
        if (float.IsNegativeInfinity(max))
        {
            throw new NoTokenToSampleException(mask is null
                ? "No token can be drawn: every logit of the row is minus infinity or NaN, so the model's output is broken or every token is biased away."
                : $"No token can be drawn: of the {mask.Count} tokens that the constraint allows, none has a logit above minus infinity.");
        }
    }

    private void CheckOptions()
    {
        Check(_options.Temperature is >= 0 and < float.PositiveInfinity, nameof(_options.Temperature), _options.Temperature, "0 or more");
        Check(_options.TopK >= 0, nameof(_options.TopK), _options.TopK, "0 or more");
        Check(_options.TopP is >= 0 and <= 1, nameof(_options.TopP), _options.TopP, "from 0 to 1");
        Check(_options.MinP is >= 0 and <= 1, nameof(_options.MinP), _options.MinP, "from 0 to 1");
        Check(_options.TypicalP is >= 0 and <= 1, nameof(_options.TypicalP), _options.TypicalP, "from 0 to 1");
        Check(_options.Dry is { Multiplier: >= 0 and < float.PositiveInfinity, Base: >= 1 and < float.PositiveInfinity, AllowedLength: >= 0, LastTokens: >= -1 }, nameof(_options.Dry), _options.Dry,
            "a multiplier of 0 or more, a base of 1 or more, an allowed length of 0 or more, and -1 or more last tokens");
        Check(_options.TopNSigma is >= 0 and < float.PositiveInfinity, nameof(_options.TopNSigma), _options.TopNSigma, "0 or more");
        Check(_options.XtcProbability is >= 0 and <= 1, nameof(_options.XtcProbability), _options.XtcProbability, "from 0 to 1");
        Check(_options.XtcThreshold is >= 0 and <= 1, nameof(_options.XtcThreshold), _options.XtcThreshold, "from 0 to 1");
        Check(_options.DynamicTemperatureRange is >= 0 and < float.PositiveInfinity, nameof(_options.DynamicTemperatureRange), _options.DynamicTemperatureRange, "0 or more");
        Check(_options.DynamicTemperatureExponent is > 0 and < float.PositiveInfinity, nameof(_options.DynamicTemperatureExponent), _options.DynamicTemperatureExponent, "above 0");
        Check(_options.Mirostat is >= 0 and <= 2, nameof(_options.Mirostat), _options.Mirostat, "0, 1 or 2");
        Check(_options.MirostatTau is >= 0 and < float.PositiveInfinity, nameof(_options.MirostatTau), _options.MirostatTau, "0 or more");
        Check(_options.MirostatEta is >= 0 and < float.PositiveInfinity, nameof(_options.MirostatEta), _options.MirostatEta, "0 or more");
        Check(float.IsFinite(_options.PresencePenalty), nameof(_options.PresencePenalty), _options.PresencePenalty, "a number");
        Check(float.IsFinite(_options.FrequencyPenalty), nameof(_options.FrequencyPenalty), _options.FrequencyPenalty, "a number");
        Check(_options.RepetitionPenalty is > 0 and < float.PositiveInfinity, nameof(_options.RepetitionPenalty), _options.RepetitionPenalty, "above 0");
        Check(_options.TopLogprobs is null or (>= 0 and <= MostTopLogprobs), nameof(_options.TopLogprobs), _options.TopLogprobs, $"from 0 to {MostTopLogprobs}");
        foreach ((int token, float bias) in _options.LogitBias)
        {
            CheckToken(token, nameof(_options.LogitBias));
            Check(float.IsFinite(bias), nameof(_options.LogitBias), bias, "a number");
        }
    }

    private static void Check(bool holds, string option, object? value, string allowed)
    {
        if (!holds)
            throw new ArgumentException($"{option} is {value}, but must be {allowed}.");
    }

    private void CheckToken(int token, string where)
    {
        if ((uint)token >= (uint)_vocabularySize)
            throw new ArgumentOutOfRangeException(where, token, $"{where} holds a token outside the vocabulary of {_vocabularySize}.");
    }
}
