// Whose adapters a step computes with: llama.cpp applies adapters to a whole batch, so sequences of one set run together, and sets take turns. Decode thread only.
// Always: a set that has work waits for no more than one turn of each set that was there before it.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

internal sealed class AdapterTurns
{
    /// <summary>
    /// A turn lasts several steps, since with other adapters llama.cpp reserves its graphs anew, in 2.4 ms of a core (chat-small, rank 16). Steps of 8 rows took 5.9 ms of it
    /// with one set, 8.3 with two in turns of one step, 6.5 in turns of 4 and 6.3 in turns of 8.
    /// </summary>
    internal const int StepsPerTurn = 8;

    /// <summary>A turn of long steps ends earlier: everybody else's streams stand still meanwhile.</summary>
    private const double SecondsPerTurn = 0.1;

    private readonly List<AdapterSet> _waiting = []; // in the order of their turns
    private int _steps;
    private double _seconds;

    /// <summary>Whose turn it is, or was last.</summary>
    public AdapterSet Current { get; private set; } = AdapterSet.None;

    /// <summary>The set that the next step computes, as long as nothing of it is planned.</summary>
    public AdapterSet Choose(List<Sequence> running)
    {
        bool isWanted = false, areOthersWanted = false;
        foreach (Sequence sequence in running)
        {
            bool isOther = !sequence.Adapters.Equals(Current);
            areOthersWanted |= isOther && HasWork(sequence);
            isWanted |= !isOther && HasWork(sequence);
        }
        if (areOthersWanted)
            TakeTurns(running, isWanted && _steps < StepsPerTurn && _seconds < SecondsPerTurn);
        else
            _waiting.Clear();
        return Current;
    }

    /// <summary>A step of the set runs.</summary>
    public void Launched() => _steps++;

    /// <summary>So long it took.</summary>
    public void Took(double seconds) => _seconds += seconds;

    /// <summary>It goes on, now or when the step in flight is done.</summary>
    private static bool HasWork(Sequence sequence) => sequence is { End: null, RestoresOn: false };

    private void TakeTurns(List<Sequence> running, bool goesOn)
    {
        for (int i = _waiting.Count - 1; i >= 0; i--)
            if (!Runs(running, _waiting[i], anyway: true))
                _waiting.RemoveAt(i);
        foreach (Sequence sequence in running)
            if (!sequence.Adapters.Equals(Current) && !_waiting.Contains(sequence.Adapters))
                _waiting.Add(sequence.Adapters);
        if (goesOn)
            return;
        int next = 0;
        while (!Runs(running, _waiting[next], anyway: false))
            next++;
        if (Runs(running, Current, anyway: true))
            _waiting.Add(Current);
        Current = _waiting[next];
        _waiting.RemoveAt(next);
        (_steps, _seconds) = (0, 0);
    }

    /// <param name="anyway">Whether or not it has work just now.</param>
    private static bool Runs(List<Sequence> running, AdapterSet set, bool anyway)
    {
        foreach (Sequence sequence in running)
            if (sequence.Adapters.Equals(set) && (anyway || HasWork(sequence)))
                return true;
        return false;
    }
}
