// Requests that wait to be admitted, by who they are for. Decode thread only.

using System.Collections;
using System.Runtime.InteropServices;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// One line for each priority and fairness key, in order of arrival. A step looks at few of those that wait, since each look walks the cache's tree; lines make sure
/// that it sees every key and priority, however many of another's stand before them.
/// </summary>
internal sealed class WaitingQueue(AdmissionPolicy admission) : IReadOnlyCollection<Sequence>
{
    private readonly Dictionary<(RequestPriority Priority, string Key), List<Sequence>> _lines = [];
    private readonly List<(AdmissionPolicy.Rank Rank, List<Sequence> Line)> _order = [];
    private readonly List<(AdmissionPolicy.Rank Rank, Sequence Sequence)> _places = [];
    private readonly Dictionary<string, long> _servedByThen = new(StringComparer.Ordinal);

    public int Count { get; private set; }

    /// <summary>Puts a request where its arrival belongs: one that was preempted goes before those that came later.</summary>
    public void Add(Sequence sequence)
    {
        if (!_lines.TryGetValue(LineOf(sequence), out List<Sequence>? line))
            _lines[LineOf(sequence)] = line = [];
        int place = line.Count;
        while (place > 0 && line[place - 1].Ordinal > sequence.Ordinal)
            place--;
        line.Insert(place, sequence);
        Count++;
    }

    /// <returns>False when it does not wait.</returns>
    public bool Remove(Sequence sequence)
    {
        if (!_lines.TryGetValue(LineOf(sequence), out List<Sequence>? line) || !line.Remove(sequence))
            return false;
        Count--;
        if (line.Count == 0)
            _lines.Remove(LineOf(sequence));
        return true;
    }

    /// <summary>Adds those to the list that a condition holds of.</summary>
    public void Find(Predicate<Sequence> condition, List<Sequence> found)
    {
        foreach (Sequence sequence in this)
            if (condition(sequence))
                found.Add(sequence);
    }

    /// <summary>The first of every line, the most deserving line first, then the second of each, and so on.</summary>
    /// <param name="most">So many at most.</param>
    /// <param name="passesOver">Who cannot be admitted anyway; they are looked at but do not count.</param>
    /// <param name="candidates">Receives them.</param>
    public void Candidates(int most, long now, Predicate<Sequence> passesOver, List<Sequence> candidates)
    {
        _order.Clear();
        foreach (List<Sequence> line in _lines.Values)
            _order.Add((admission.RankOf(line[0], cachedTokens: 0, now), line));
        _order.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        if (_order.Count > most)
            _order.RemoveRange(most, _order.Count - most);
        // A line's part; what a short one leaves goes to those behind it.
        for (int i = 0; i < _order.Count && candidates.Count < most; i++)
        {
            int part = (most - candidates.Count) / (_order.Count - i);
            foreach (Sequence sequence in _order[i].Line)
            {
                if (passesOver(sequence))
                    continue;
                candidates.Add(sequence);
                if (--part <= 0)
                    break;
            }
        }
        _order.Clear();
    }

    /// <summary>
    /// Tells those that have not begun how many are before them, as far as it can be foreseen: the keys of a class take turns. What the cache holds for whom would be
    /// a walk of its tree each.
    /// </summary>
    public void TellPositions(long now)
    {
        foreach (Sequence sequence in this)
            _places.Add((admission.RankOf(sequence, cachedTokens: 0, now), sequence));
        _places.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        // By a request's turn its key has been served for those before it.
        foreach (ref (AdmissionPolicy.Rank Rank, Sequence Sequence) place in CollectionsMarshal.AsSpan(_places))
            place.Rank = place.Rank with { Served = place.Rank.Served + CollectionsMarshal.GetValueRefOrAddDefault(_servedByThen, place.Sequence.Request.FairnessKey, out _)++ };
        _places.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        for (int i = 0; i < _places.Count; i++)
            if (_places[i].Sequence.FirstScheduled is null)
                _places[i].Sequence.Generation.Queued(i + 1);
        _places.Clear();
        _servedByThen.Clear();
    }

    public IEnumerator<Sequence> GetEnumerator()
    {
        foreach (List<Sequence> line in _lines.Values)
            foreach (Sequence sequence in line)
                yield return sequence;
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static (RequestPriority, string) LineOf(Sequence sequence) => (sequence.Request.Priority, sequence.Request.FairnessKey);
}
