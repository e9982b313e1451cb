using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine;

/// <summary>
/// A draft model without a model: it knows what <see cref="ScriptedDecoder"/> will say, and says so as often as a test wants. Rows that do not follow what a sequence
/// holds, and more cells than there are, fail the test.
/// </summary>
internal sealed class ScriptedDraftContext(FakeTimeProvider time, DraftLimits limits) : IDraftContext
{
    public const int Sequences = 16;

    private readonly List<int>[] _held = [.. Enumerable.Range(0, limits.Sequences).Select(_ => new List<int>())];

    public DraftLimits Limits { get; } = limits;

    /// <summary>Whether the guess for a sequence of so many tokens is what the decoder will say.</summary>
    public Func<int, bool> IsTrue { get; set; } = _ => true;

    /// <summary>How sure it is of it.</summary>
    public Func<int, float> Probability { get; set; } = _ => 1;

    /// <summary>What a call takes, by its rows.</summary>
    public Func<int, TimeSpan> Cost { get; set; } = _ => TimeSpan.FromMilliseconds(1);

    public int Failures { get; set; }

    /// <summary>Rows of each call so far.</summary>
    public List<int> Calls { get; } = [];

    public int ComputedRows => Calls.Sum();

    public int UsedCells => _held.Sum(held => held.Count);

    public static DraftLimits DefaultLimits { get; } = new(Cells: 4096, ContextLength: 4096, Sequences, BatchSize: 512, Tokens: ScriptedDecoder.VocabularySize, Bytes: 1000,
        new DeviceProfile([(1, 0.001), (8, 0.001), (64, 0.002)], 0, 0, 0, ComputesAhead: false));

    public static ScriptedDraftContext Create(FakeTimeProvider time) => new(time, DefaultLimits);

    public void Remove(int sequence, int start) => _held[sequence].RemoveRange(start, _held[sequence].Count - start);

    public string? Compute(List<PlanRow> rows, Span<DraftGuess> guesses)
    {
        Calls.Add(rows.Count);
        time.Advance(Cost(rows.Count));
        if (Failures > 0)
        {
            Failures--;
            return "scripted failure";
        }
        Assert.InRange(rows.Count, 1, Limits.BatchSize);
        int wanted = 0;
        foreach (PlanRow row in rows)
        {
            List<int> held = _held[row.SequenceId];
            Assert.Equal(held.Count, row.Position);
            Assert.InRange(row.Token, 0, Limits.Tokens - 1);
            Assert.InRange(row.Position, 0, Limits.ContextLength - 1);
            held.Add(row.Token);
            if (!row.WantsLogits)
                continue;
            ulong history = 0;
            foreach (int token in held)
                history = ScriptedDecoder.Next(history, token);
            int next = ScriptedDecoder.Choose(history);
            guesses[wanted++] = new DraftGuess(IsTrue(held.Count) ? next : (next + 1) % ScriptedDecoder.VocabularySize, Probability(held.Count));
        }
        Assert.InRange(UsedCells, 0, Limits.Cells);
        return null;
    }

    public void Clear()
    {
        foreach (List<int> held in _held)
            held.Clear();
    }

    public void Dispose() => Clear();
}
