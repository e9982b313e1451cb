// Decides how many draft tokens a sequence may put into a step, from how many of its drafts came true and what rows cost.
// Owned by one sequence, used by the decode thread. Always: the same calls give the same decisions; no clock, no chance.
//
// The cost model. A step of R rows takes t(R) seconds (StepTimes). k draft tokens make it R + k rows. Draft token 1 comes true with probability p,
// each further one, when all before it did, with probability q: a draft that has begun well tends to go on. So k tokens are expected to yield
//     E(k) = p + p q + ... + p q^(k-1)
// tokens beyond the one that the step yields anyway. The batch then moves (R + E(k)) / t(R + k) tokens a second instead of R / t(R);
// k is chosen to make that largest, and 0 unless it gains at least 5 percent: everyone else in the batch waits for the extra rows too.
// Where a model guesses, all S sequences that it guesses for share its calls, of d seconds each. One sequence then decides as if all were like it:
// (R + S E(k)) / (t(R + S k) + k d).

namespace InferenceServer.Engine.Decoding;

/// <summary>The draft length of one sequence, step by step.</summary>
public sealed class DraftController
{
    /// <summary>Below this gain measuring noise decides more than the draft does.</summary>
    private const double LeastGain = 1.05;

    /// <summary>While rows' cost is unknown, or a draft is only tried to see whether drafting pays by now.</summary>
    private const int TrialLength = 2;

    /// <summary>Weight of all earlier drafts when a new one is counted: about the last ten decide.</summary>
    private const double Memory = 0.9;

    /// <summary>What is believed before the first draft: even odds, as strong as one draft token.</summary>
    private const double PriorRate = 0.5;

    private const int FirstTrialAfter = 8;
    private const int LastTrialAfter = 128;

    /// <summary>A sequence that always drafts would never again see what a step without costs.</summary>
    private const int PlainStepEvery = 64;

    private readonly int _longestDraft;
    private readonly double _priorFirst, _priorLater;
    private double _firstTried, _firstTrue, _laterTried, _laterTrue;
    private int _stepsOff, _trialAfter = FirstTrialAfter;
    private int _stepsOn;

    /// <param name="longestDraft">The most tokens ever drafted for one step; 0 turns drafting off.</param>
    /// <param name="prior">What came of others' drafts, to be believed before the first; null for even odds.</param>
    public DraftController(int longestDraft, DraftController? prior = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(longestDraft);
        _longestDraft = longestDraft;
        (_priorFirst, _priorLater) = prior is null ? (PriorRate, PriorRate) : (prior.FirstRate, prior.LaterRate);
    }

    /// <summary>The most tokens ever drafted for one step.</summary>
    public int LongestDraft => _longestDraft;

    /// <summary>The estimated probability that the first token of a draft comes true.</summary>
    public double FirstRate => (_firstTrue + _priorFirst) / (_firstTried + 1);

    /// <summary>The estimated probability that a later token comes true when all before it did.</summary>
    public double LaterRate => (_laterTrue + _priorLater) / (_laterTried + 1);

    /// <summary>How many tokens to draft for the step that is being planned; call once a step and sequence.</summary>
    /// <param name="rows">Rows that the step holds so far, this sequence's own row and others' drafts among them.</param>
    /// <param name="times">What steps cost.</param>
    public int NextLength(int rows, StepTimes times) => NextLength(rows, _longestDraft, times, device: null, sequences: 1, guessSeconds: 0).Length;

    /// <param name="rows">As for the other.</param>
    /// <param name="most">The most to draft now.</param>
    /// <param name="times">As for the other.</param>
    /// <param name="device">Tells what steps cost of which none has run; null where only a trial may.</param>
    /// <param name="sequences">Sequences that draft in this step, and are taken to be like this one.</param>
    /// <param name="guessSeconds">What one guess for each of them takes.</param>
    /// <returns>Gain is how many times as fast as without; 0 for a trial, of which nothing is expected.</returns>
    public (int Length, double Gain) NextLength(int rows, int most, StepTimes times, DeviceProfile? device, int sequences, double guessSeconds)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        most = Math.Min(Math.Min(most, _longestDraft), (times.MostRows - rows) / sequences);
        if (most <= 0)
            return default;
        (int best, double gain) = BestLength(rows, most, times, device, sequences, guessSeconds);
        if (best > 0)
        {
            _stepsOff = 0;
            _stepsOn++;
            return _stepsOn % PlainStepEvery == 0 ? default : (best, gain);
        }

        // The text may have become predictable since: try again now and then, ever more rarely while it keeps failing.
        if (++_stepsOff < _trialAfter)
            return default;
        _stepsOff = 0;
        _trialAfter = Math.Min(_trialAfter * 2, LastTrialAfter);
        return (Math.Min(most, TrialLength), 0);
    }

    /// <summary>Counts a draft that was verified.</summary>
    /// <param name="drafted">Tokens in the step; 0 when the drafter found none, which tells nothing.</param>
    /// <param name="accepted">Of those, the ones from the first that came true in a row.</param>
    public void Report(int drafted, int accepted)
    {
        if (accepted < 0 || accepted > drafted)
            throw new ArgumentOutOfRangeException(nameof(accepted), accepted, $"Between 0 and the {drafted} tokens drafted.");
        if (drafted == 0)
            return;
        _firstTried = _firstTried * Memory + 1;
        _firstTrue = _firstTrue * Memory + Math.Min(accepted, 1);
        if (accepted >= 1)
        {
            // Tokens after the first false one were never tried.
            _laterTried = _laterTried * Memory + Math.Min(accepted, drafted - 1);
            _laterTrue = _laterTrue * Memory + accepted - 1;
        }
        if (accepted == drafted)
            _trialAfter = FirstTrialAfter;
    }

    private (int Length, double Gain) BestLength(int rows, int most, StepTimes times, DeviceProfile? device, int sequences, double guessSeconds)
    {
        if ((times.Seconds(rows) ?? device?.SecondsOf(rows)) is not double plain)
            return (Math.Min(most, TrialLength), 0);
        int best = 0;
        double bestGain = LeastGain, expected = 0, reached = FirstRate;
        for (int length = 1; length <= most; length++)
        {
            expected += reached;
            reached *= LaterRate;
            int all = rows + (sequences * length);
            if ((times.Seconds(all) ?? (device?.SecondsOf(all) / device?.SecondsOf(rows) * plain)) is not double seconds)
                break;
            double gain = (rows + (sequences * expected)) / rows * plain / (Math.Max(seconds, plain) + (length * guessSeconds));
            if (gain <= bestGain)
                continue;
            (best, bestGain) = (length, gain);
        }
        return (best, bestGain);
    }
}
