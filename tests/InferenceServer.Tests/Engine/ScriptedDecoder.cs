using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;

namespace InferenceServer.Tests.Engine;

/// <summary>
/// A decoder without a model: it keeps every cell as data and refuses whatever the native memory would compute wrongly. A cell knows
/// the whole history it was computed from, and the "model" is a function of that history, so a reply that used a foreign, missing or
/// misplaced cell differs from <see cref="Reply"/>. Where the limits ask for checkpoints each sequence has a state beside its cells, which goes
/// forward only. Histories begin with what the step's adapters are, so that a cell of other adapters is a foreign one.
/// </summary>
internal sealed class ScriptedDecoder(DecoderLimits limits) : IDecoder
{
    public const int EndToken = 0;
    public const int VocabularySize = 64;

    public static readonly EngineVocabulary Vocabulary = new(VocabularySize, static (token, _) => Letters.AsSpan(token, 1), token => token == EndToken);

    private static readonly byte[] Letters = [.. Enumerable.Range(0, VocabularySize).Select(i => (byte)(i + 32))];

    private readonly SortedDictionary<int, Cell>[] _sequences =
        [.. Enumerable.Range(0, limits.SequenceIds).Select(_ => new SortedDictionary<int, Cell>())];

    private readonly Checkpoint?[] _states = new Checkpoint?[limits.SequenceIds];
    private ulong[] _histories = [];
    private ulong _origin;

    private sealed record Cell(int Token, ulong History);

    /// <summary>What stands for all tokens so far.</summary>
    private sealed record Checkpoint(int Tokens, ulong History);

    public DecoderLimits Limits { get; } = limits;

    /// <summary>The next step fails with this when it is launched.</summary>
    public string? FailNext { get; set; }

    /// <summary>The next step fails with this when it is collected.</summary>
    public string? FailNextCollect { get; set; }

    /// <summary>Saves fail while set: host memory is exhausted.</summary>
    public bool FailSaves { get; set; }

    /// <summary>Drawing fails for requests that stop at this token, as for a grammar that cannot go on.</summary>
    public int? FailDrawsOfStopToken { get; set; }

    /// <summary>The next restore is refused, as llama.cpp refuses a state that does not fit its memory.</summary>
    public bool FailNextRestore { get; set; }

    /// <summary>Steps with rows wait here: a device that hangs.</summary>
    public ManualResetEventSlim? Hang { get; set; }

    /// <summary>Steps with rows end in this, and do not return from it.</summary>
    public Action? GiveUp { get; set; }

    public int ComputedRows { get; private set; }

    /// <summary>Adapters that were freed, in order.</summary>
    public List<EngineAdapter> Freed { get; } = [];

    /// <summary>Of an adapter by this name that scripted steps can compute with.</summary>
    public static EngineAdapter Adapter(string name, Action<EngineAdapter>? unused = null) => new(new LlamaAdapterFile($"{name}.gguf", name, 4, 8, 100), null, unused ?? (static _ => { }));

    public static AdapterSet Adapters(string name, float scale = 1) => AdapterSet.Of([(Adapter(name), scale)]);

    /// <summary>Released once a rest.</summary>
    public SemaphoreSlim Rests { get; } = new(0);

    public int UsedCells => _sequences.SelectMany(s => s.Values).Distinct(ReferenceEqualityComparer.Instance).Count();

    /// <summary>What the model answers to a prompt: the ground truth, computed without any cache.</summary>
    public static int[] Reply(ReadOnlySpan<int> prompt, int maxTokens, int contextLength = int.MaxValue, AdapterSet? adapters = null)
    {
        ulong history = Origin(adapters ?? AdapterSet.None);
        foreach (int token in prompt)
            history = Next(history, token);
        List<int> reply = [];
        while (reply.Count < maxTokens && prompt.Length + reply.Count < contextLength)
        {
            int token = Choose(history);
            if (token == EndToken)
                break;
            reply.Add(token);
            history = Next(history, token);
        }
        return [.. reply];
    }

    /// <summary>A prompt whose scripted reply runs on for at least <paramref name="replyTokens"/> tokens, starting with the given stem.</summary>
    public static int[] Prompt(int length, int replyTokens = 40, int salt = 0, int[]? stem = null)
    {
        for (int attempt = 0; ; attempt++)
        {
            Random random = new((length * 1_000_003) + (salt * 10_007) + attempt);
            int[] prompt = [.. stem ?? [], .. Enumerable.Range(0, length - (stem?.Length ?? 0)).Select(_ => random.Next(1, VocabularySize))];
            if (Reply(prompt, replyTokens).Length == replyTokens)
                return prompt;
        }
    }

    public void Launch(StepPlan plan, StepResult result)
    {
        result.Begin(plan);
        if (FailNext is not null)
        {
            (result.Error, FailNext) = (FailNext, null);
            return;
        }
        if (plan.Rows.Count > 0)
        {
            Hang?.Wait();
            GiveUp?.Invoke();
        }
        foreach (KvOp op in plan.Ops)
        {
            if (op is { Kind: KvOpKind.Restore or KvOpKind.RestoreCheckpoint, Blob.State: not KvBlobState.InMemory })
            {
                result.Error = "restore without saved state";
                return;
            }
            if (op.Kind is KvOpKind.Restore or KvOpKind.RestoreCheckpoint && FailNextRestore)
            {
                FailNextRestore = false;
                op.Blob!.Fail();
                result.Error = "the saved state could not be restored";
                return;
            }
            Apply(op);
        }
        Assert.DoesNotContain(plan.Rows, row => row.Token < 0);
        Assert.True(plan.Rows.Count <= Limits.BatchSize);
        Assert.True(plan.Rows.Count(row => row.WantsLogits) <= Limits.MaxOutputs);
        List<int> drawn = [.. plan.Rows.Where(row => row.WantsLogits && row.SequenceId < Limits.DrawnIds).Select(row => row.SequenceId)];
        Assert.Equal(drawn.Distinct().Count(), drawn.Count);
        Assert.DoesNotContain(plan.Slices, slice => plan.Rows[slice.LastRow].SequenceId < Limits.DrawnIds && !slice.Sequence.CanBeDrawn);
        Assert.All(plan.Slices, slice => Assert.Equal(plan.Adapters, slice.Sequence.Adapters));
        Assert.DoesNotContain(plan.Adapters.Adapters, applied => Freed.Contains(applied.Adapter));
        _origin = Origin(plan.Adapters);
        _histories = new ulong[plan.Rows.Count];
        for (int i = 0; i < plan.Rows.Count; i++)
            _histories[i] = Compute(plan.Rows[i]);
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        if (FailNextCollect is not null)
            (result.Error, FailNextCollect) = (FailNextCollect, null);
        if (result.Error is not null)
            return;
        for (int i = 0; i < plan.Slices.Count; i++)
        {
            PlanSlice slice = plan.Slices[i];
            if (slice.Sequence.IsFinished)
                continue;
            if (FailDrawsOfStopToken is { } stop && slice.Sequence.Request.StopTokens.Contains(stop) && plan.Rows[slice.LastRow].WantsLogits)
            {
                result.Fail(i, "scripted draw failure");
                continue;
            }
            for (int row = slice.FirstLogitsRow; row <= slice.LastRow; row++)
            {
                if (!plan.Rows[row].WantsLogits || !slice.ReachesEnd(plan))
                    break;
                int token = Choose(_histories[row]);
                result.Add(i, new SampledToken(token, null));
                result.DeviceDraws += plan.Rows[row].SequenceId < Limits.DrawnIds ? 1 : 0;
                if (row < slice.LastRow && plan.Rows[row + 1].Token != token)
                    break;
            }
        }
    }

    public void ClearMemory()
    {
        foreach (SortedDictionary<int, Cell> cells in _sequences)
            cells.Clear();
        Array.Clear(_states);
    }

    public EngineAdapter LoadAdapter(LlamaAdapterFile file, Action<EngineAdapter> unused) =>
        file.Path == "unloadable.gguf" ? throw new LlamaException($"llama.cpp cannot load {file.Path}") : new EngineAdapter(file, null, unused);

    public void FreeAdapter(EngineAdapter adapter) => Freed.Add(adapter);

    public void Rest() => Rests.Release();

    public void Dispose() => Rests.Dispose();

    internal static ulong Next(ulong history, int token) => (history ^ (ulong)(token + 1)) * 0x9E3779B97F4A7C15UL + 0x2545F4914F6CDD1DUL;

    private static ulong Origin(AdapterSet adapters)
    {
        ulong origin = 0;
        foreach (char c in adapters.Key)
            origin = Next(origin, c);
        return origin;
    }

    internal static int Choose(ulong history) => (int)((history >> 40) % VocabularySize);

    private ulong Compute(PlanRow row)
    {
        SortedDictionary<int, Cell> cells = _sequences[row.SequenceId];
        Assert.False(cells.ContainsKey(row.Position), $"position {row.Position} of sequence {row.SequenceId} is computed twice");
        Cell? before = null;
        Assert.True(row.Position == 0 || cells.TryGetValue(row.Position - 1, out before), $"sequence {row.SequenceId} lacks position {row.Position - 1}");
        Assert.Equal(row.Position, cells.Count);
        Assert.InRange(row.Token, 0, VocabularySize - 1);
        ulong history = Next(before?.History ?? _origin, row.Token);
        if (Limits.CheckpointBytes > 0)
        {
            Checkpoint? state = _states[row.SequenceId];
            Assert.True((state?.Tokens ?? 0) == row.Position, $"sequence {row.SequenceId} goes on at {row.Position}, its state is of {state?.Tokens ?? 0} tokens");
            Assert.Equal(before?.History ?? 0, state?.History ?? 0);
            _states[row.SequenceId] = new Checkpoint(row.Position + 1, history);
        }
        cells.Add(row.Position, new Cell(row.Token, history));
        ComputedRows++;
        return history;
    }

    private void Apply(KvOp op)
    {
        SortedDictionary<int, Cell> cells = _sequences[op.Sequence];
        int end = op.End == KvOp.ToEnd ? int.MaxValue : op.End;
        switch (op.Kind)
        {
            case KvOpKind.Copy when Limits.SharesCells:
                foreach ((int position, Cell cell) in cells.Where(c => c.Key >= op.Start && c.Key < end).ToArray())
                    _sequences[op.Target].Add(position, cell);
                for (int position = op.Start; position < op.End; position++)
                    Assert.True(_sequences[op.Target].ContainsKey(position), $"copied position {position} was not in sequence {op.Sequence}");
                _states[op.Target] = null;
                break;
            case KvOpKind.Copy:
                Assert.Empty(_sequences[op.Target]);
                Assert.Equal(0, op.Start);
                foreach ((int position, Cell cell) in cells.Where(c => c.Key < end))
                    _sequences[op.Target].Add(position, cell with { });
                break;
            case KvOpKind.Remove:
                foreach (int position in cells.Keys.Where(p => p >= op.Start && p < end).ToArray())
                    cells.Remove(position);
                if (_states[op.Sequence]?.Tokens is { } tokens && tokens > op.Start && tokens <= end)
                    _states[op.Sequence] = null;
                break;
            case KvOpKind.Save or KvOpKind.SaveCheckpoint when FailSaves:
                op.Blob!.Fail();
                break;
            case KvOpKind.Save:
                Assert.Equal(op.Blob!.End - op.Blob.Start, cells.Count);
                op.Blob.Fill([.. cells.SelectMany(c => BitConverter.GetBytes(c.Key).Concat(BitConverter.GetBytes(c.Value.Token)).Concat(BitConverter.GetBytes(c.Value.History)))]);
                break;
            case KvOpKind.SaveCheckpoint:
                Checkpoint saved = Assert.IsType<Checkpoint>(_states[op.Sequence]);
                Assert.Equal(op.End, saved.Tokens);
                byte[] bytes = new byte[Limits.CheckpointBytes];
                BitConverter.TryWriteBytes(bytes, saved.Tokens);
                BitConverter.TryWriteBytes(bytes.AsSpan(4), saved.History);
                op.Blob!.Fill(bytes);
                break;
            case KvOpKind.RestoreCheckpoint:
                _states[op.Sequence] = new Checkpoint(BitConverter.ToInt32(op.Blob!.Data!), BitConverter.ToUInt64(op.Blob.Data!, 4));
                break;
            case KvOpKind.Restore:
                Assert.Empty(cells);
                _states[op.Sequence] = null;
                for (int i = 0; i < op.Blob!.Data!.Length; i += 16)
                    cells.Add(BitConverter.ToInt32(op.Blob.Data, i), new Cell(BitConverter.ToInt32(op.Blob.Data, i + 4), BitConverter.ToUInt64(op.Blob.Data, i + 8)));
                break;
        }
        Assert.True(UsedCells <= Limits.Cells, "more cells used than the pool has");
    }
}
