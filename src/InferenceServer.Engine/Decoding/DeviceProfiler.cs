// Measures what a context's device costs, once, before the context is used: about a second, less where steps are short. The context is empty afterwards.

using System.Diagnostics;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama;

namespace InferenceServer.Engine.Decoding;

internal sealed class DeviceProfiler : IDisposable
{
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(1);

    /// <summary>A step that long is not repeated: noise is small against it.</summary>
    private const double LongStepSeconds = 0.05;

    private const int Repetitions = 3;
    private const int MiddleStep = 64;
    private const int LargeStep = 512;

    /// <summary>Cells filled to see what idle ones cost: enough to show against the noise of a step.</summary>
    private const int IdleCells = 2048;

    /// <summary>So many times what drawing on the device takes of its memory has to be free: its estimate is of one graph, and others may compute there.</summary>
    private const int MemoryMargin = 2;

    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private readonly List<(int Rows, double Seconds)> _steps = [];
    private double _launchSeconds;
    private int _position;

    private DeviceProfiler(LlamaContext context)
    {
        _context = context;
        _batch = new LlamaBatch(context.BatchSize);
    }

    /// <exception cref="LlamaException">The device cannot compute.</exception>
    public static DeviceProfile Measure(LlamaContext context)
    {
        using DeviceProfiler profiler = new(context);
        return profiler.Measure();
    }

    public void Dispose() => _batch.Dispose();

    private DeviceProfile Measure()
    {
        Step(1); // The first builds graphs and loads kernels.
        MeasureStep(1, expectedSeconds: 0);
        MeasureStep(DeviceProfile.SmallStep, expectedSeconds: 0);
        bool computesAhead = _launchSeconds < _steps[^1].Seconds / 2;
        int small = _position;
        double smallSeconds = _steps[^1].Seconds;
        MeasureStep(MiddleStep, expectedSeconds: smallSeconds * 3);

        // What cannot be measured within the time is taken to be like the machine that the project was tuned on, a step for a step.
        DeviceProfile known = DeviceProfile.TwoCores;
        double scale = _steps[0].Seconds / known.Steps[0].Seconds;
        (double idle, double save, double restore) = (computesAhead ? 0 : known.IdleCellSeconds * scale, known.SaveSecondsPerToken * scale, known.RestoreSecondsPerToken * scale);
        if (_context is { KvUnified: true, Model.MemoryKind: MemoryKind.Dense, MaxSequences: > 1 } && SecondsLeft > smallSeconds * Repetitions)
        {
            int cells;
            (save, restore, cells) = MoveState();
            // Attention walks the sequence's own cells as it walks the idle ones.
            double beside = BestOf(DeviceProfile.SmallStep);
            idle = Math.Max(0, beside - smallSeconds) / (DeviceProfile.SmallStep * (double)Math.Max(cells - small, 1));
        }
        _context.ClearMemory();
        _position = 0;
        MeasureStep(LargeStep, expectedSeconds: _steps[^1].Seconds * LargeStep / _steps[^1].Rows);
        _context.ClearMemory();
        return new DeviceProfile(_steps, idle, save, restore, computesAhead, computesAhead && DrawsFaster() ? DeviceProfile.SmallStep : 0);
    }

    /// <summary>
    /// Whether a small step, a sequence a row, is done sooner with its tokens drawn by the device than by a thread of the host. Where the device's memory is scarce that is
    /// not tried: llama.cpp ends the process when it finds no room for a graph.
    /// </summary>
    private bool DrawsFaster()
    {
        const int Rows = DeviceProfile.SmallStep;
        if (_context is not { KvUnified: true, Model.MemoryKind: MemoryKind.Dense } || Math.Min(_context.MaxSequences - 1, DeviceSampling.MostSequences(_context)) < Rows
            || DeviceSampling.DeviceBytes(_context) * MemoryMargin > _context.Model.Library.Devices.Where(device => device.Type is not LlamaDeviceType.Cpu).Sum(device => device.FreeBytes))
            return false;
        Sampler[] samplers = [.. Enumerable.Range(0, Rows).Select(i => new Sampler(SamplingOptions.Default, [], _context.VocabularySize, fallbackSeed: (ulong)i))];
        _position = 0;
        double host = BestOfSequences(Rows, row => samplers[row].Sample(_context.Logits(row)));
        _context.ClearMemory();
        _position = 0;
        using DeviceSampling? drawing = DeviceSampling.Attach(_context, [.. Enumerable.Range(0, Rows)]);
        if (drawing is null)
            return false;
        for (int id = 0; id < Rows; id++)
            drawing.Set(id, temperature: 1, uniform: 0.5);
        double device = BestOfSequences(Rows, row => drawing.Token(row));
        _context.ClearMemory();
        return device < host;
    }

    /// <summary>Steps of a row for each of several sequences, and what is done with its outputs.</summary>
    private double BestOfSequences(int rows, Action<int> read)
    {
        double best = double.PositiveInfinity;
        for (int i = 0; i <= Repetitions; i++)
        {
            _batch.Clear();
            for (int id = 0; id < rows; id++)
                _batch.Add(token: id, _position, id, wantsLogits: true);
            _position++;
            long start = Stopwatch.GetTimestamp();
            Decode(rows);
            _context.Synchronize();
            for (int row = 0; row < rows; row++)
                read(row);
            // The first builds the graph.
            best = i == 0 ? best : Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }

    /// <exception cref="LlamaException">The device cannot compute.</exception>
    private void Decode(int rows)
    {
        if (_context.Decode(_batch) is not DecodeStatus.Ok and var status)
            throw new LlamaException($"the model cannot decode {rows} tokens ({status}): {LlamaContext.LastError ?? "llama.cpp gave no reason"}") { IsOutOfMemory = status is DecodeStatus.AllocationFailed };
    }

    private double SecondsLeft => (Budget - Stopwatch.GetElapsedTime(_start)).TotalSeconds;

    private void MeasureStep(int rows, double expectedSeconds)
    {
        if (rows <= _context.BatchSize && _position + (rows * Repetitions) <= _context.ContextLengthPerSequence && expectedSeconds <= SecondsLeft)
            _steps.Add((rows, BestOf(rows)));
    }

    /// <summary>The least of a few: whatever else runs here can only make a step longer.</summary>
    private double BestOf(int rows)
    {
        double best = Step(rows);
        for (int i = 1; i < Repetitions && best < LongStepSeconds; i++)
            best = Math.Min(best, Step(rows));
        return best;
    }

    /// <summary>Computes rows of one sequence; small steps want logits of each row, as replies do, and large ones of the last.</summary>
    private double Step(int rows)
    {
        _batch.Clear();
        for (int i = 0; i < rows; i++)
            _batch.Add(token: i % _context.VocabularySize, _position++, 0, i == rows - 1 || (rows <= DeviceProfile.SmallStep && i < _context.MaxOutputs - 1));
        long start = Stopwatch.GetTimestamp();
        Decode(rows);
        _launchSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        _context.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Copies the sequence's state out, and into other sequences until many cells are used.</summary>
    private (double SaveSecondsPerToken, double RestoreSecondsPerToken, int UsedCells) MoveState()
    {
        byte[] state = GC.AllocateUninitializedArray<byte>(checked((int)_context.StateSize(0, StateFlags.None)));
        long start = Stopwatch.GetTimestamp();
        _context.SaveState(0, state, StateFlags.None);
        double save = Stopwatch.GetElapsedTime(start).TotalSeconds / _position;
        int cells = _position, room = Math.Min(IdleCells, _context.CellCount - (DeviceProfile.SmallStep * Repetitions));
        start = Stopwatch.GetTimestamp();
        for (int id = 1; id < _context.MaxSequences && cells + _position <= room && SecondsLeft > 0; id++)
        {
            if (_context.RestoreState(id, state, StateFlags.None) != state.LongLength)
                break;
            cells += _position;
        }
        int restored = cells - _position;
        return (save, restored > 0 ? Stopwatch.GetElapsedTime(start).TotalSeconds / restored : save, cells);
    }
}
