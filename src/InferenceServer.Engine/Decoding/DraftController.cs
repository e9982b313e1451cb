// Decides how many draft tokens a sequence may put into a step, from how many of its drafts came true and what rows cost.
// Owned by one sequence, used by the decode thread. Always: the same calls give the same decisions; no clock, no chance.
//
// The cost model. A step of R rows takes t(R) seconds (StepTimes). k draft tokens make it R + k rows. Draft token 1 comes true with probability p,
// each further one, when all before it did, with probability q: a draft that has begun well tends to go on. So k tokens are expected to yield
//     E(k) = p + p q + ... + p q^(k-1)
// tokens beyond the one that the step yields anyway. The batch then moves (R + E(k)) / t(R + k) tokens a second instead of R / t(R);
// k is chosen to make that largest, and 0 unless it gains at least 5 percent: everyone else in the batch waits for the extra rows too.

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
    private double _firstTried, _firstTrue, _laterTried, _laterTrue;
    private int _stepsOff, _trialAfter = FirstTrialAfter;
    private int _stepsOn;

    /// <param name="longestDraft">The most tokens ever drafted for one step; 0 turns drafting off.</param>
    public DraftController(int longestDraft)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(longestDraft);
        _longestDraft = longestDraft;
    }

    /// <summary>The estimated probability that the first token of a draft comes true.</summary>
    public double FirstRate => (_firstTrue + PriorRate) / (_firstTried + 1);

    /// <summary>The estimated probability that a later token comes true when all before it did.</summary>
    public double LaterRate => (_laterTrue + PriorRate) / (_laterTried + 1);

    /// <summary>How many tokens to draft for the step that is being planned; call once a step and sequence.</summary>
    /// <param name="rows">Rows that the step holds so far, this sequence's own row and others' drafts among them.</param>
    /// <param name="times">What steps cost.</param>
    public int NextLength(int rows, StepTimes times)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        int most = Math.Min(_longestDraft, times.MostRows - rows);
        if (most <= 0)
            return 0;
        int best = BestLength(rows, most, times);
        if (best > 0)
        {
            _stepsOff = 0;
            _stepsOn++;
            return _stepsOn % PlainStepEvery == 0 ? 0 : best;
        }

        // The text may have become predictable since: try again now and then, ever more rarely while it keeps failing.
        if (++_stepsOff < _trialAfter)
            return 0;
        _stepsOff = 0;
        _trialAfter = Math.Min(_trialAfter * 2, LastTrialAfter);
        return Math.Min(most, TrialLength);
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

    private int BestLength(int rows, int most, StepTimes times)
    {
        if (times.Seconds(rows) is not double plain)
            return Math.Min(most, TrialLength);
        int best = 0;
        double bestSpeed = LeastGain * rows / plain, expected = 0, reached = FirstRate;
        for (int length = 1; length <= most; length++)
        {
            expected += reached;
            reached *= LaterRate;
            if (times.Seconds(rows + length) is not double seconds)
                break;
            double speed = (rows + expected) / Math.Max(seconds, plain);
            if (speed <= bestSpeed)
                continue;
            bestSpeed = speed;
            best = length;
        }
        return best;
    }
}
