// Where a prompt's computation pauses so that its partial state can be saved. Owned by one sequence, used by the decode thread.

namespace InferenceServer.Engine.Cache;

/// <summary>Token counts of one prompt: message ends, regular distances, where other prompts branch off, and just before the last token.</summary>
internal sealed class CheckpointStops
{
    /// <summary>Regular checkpoints are no closer than this: what a hit computes again at most, where memory allows.</summary>
    public const int LeastInterval = 512;

    /// <summary>A stop this close before a wanted one serves as well, and one this close to the start is not worth a restore: so few tokens cost about a step.</summary>
    public const int LeastDistance = 32;

    private readonly SortedSet<int> _stops = [];

    /// <param name="promptTokens">The prompt's length; its last token is always computed, so the last stop is before it.</param>
    /// <param name="boundaries">Where messages end, ascending; others than within the prompt are passed over.</param>
    /// <param name="interval">The regular distance. Stops at its multiples are the same for all prompts.</param>
    public CheckpointStops(int promptTokens, IReadOnlyList<int> boundaries, int interval)
    {
        int last = promptTokens - 1;
        foreach (int boundary in boundaries)
            if (boundary >= LeastDistance && boundary <= last)
                Add(boundary, 0);
        // The last message's end is where the next turn may leave this prompt, so it is met exactly.
        if (boundaries.Count > 0 && boundaries[^1] is var end && end >= LeastDistance && end <= last)
            _stops.Add(end);
        for (long stop = interval; stop <= last; stop += interval)
            Add((int)stop, 0);
        if (last >= LeastDistance)
            Add(last, 0);
    }

    public bool Contains(int position) => _stops.Contains(position);

    /// <summary>The first stop after a position; <see cref="int.MaxValue"/> when there is none.</summary>
    public int NextAfter(int position)
    {
        int next = _stops.GetViewBetween(position + 1, int.MaxValue).Min;
        return next > 0 ? next : int.MaxValue;
    }

    /// <summary>Adds a stop, unless one that is still to come serves as well.</summary>
    /// <param name="position">Where it is wanted.</param>
    /// <param name="computed">Stops up to here have been passed.</param>
    /// <returns>The stop that serves.</returns>
    public int Add(int position, int computed)
    {
        int from = Math.Max(computed, position - LeastDistance) + 1;
        int serving = from <= position ? _stops.GetViewBetween(from, position).Max : 0;
        if (serving > 0)
            return serving;
        _stops.Add(position);
        return position;
    }
}
