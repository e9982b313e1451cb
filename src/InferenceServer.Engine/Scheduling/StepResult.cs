using InferenceServer.Engine.Sampling;

namespace InferenceServer.Engine.Scheduling;

/// <summary>What a step brought: per slice of the plan, the tokens sampled from its rows. Reused like the plan.</summary>
internal sealed class StepResult
{
    private SampledToken[] _tokens = [];
    private int[] _first = [];
    private int[] _count = [];
    private string?[] _failures = [];

    /// <summary>Null when the step succeeded; else what failed. The KV memory is then to be cleared.</summary>
    public string? Error { get; set; }

    /// <summary>What the plan's operations on the memory took, and what sampling did on the host: the rest of a step is the rows'.</summary>
    public double OperationSeconds { get; set; }

    public double SamplingSeconds { get; set; }

    /// <summary>Tokens that the device drew.</summary>
    public int DeviceDraws { get; set; }

    /// <summary>Steps so far that had the shape of the one before, so that the library could use its graph again.</summary>
    public long GraphReuses { get; set; }

    /// <summary>Makes room for the plan's slices, each with up to one token more than it has drafts.</summary>
    public void Begin(StepPlan plan)
    {
        (Error, OperationSeconds, SamplingSeconds, DeviceDraws) = (null, 0, 0, 0);
        if (_first.Length < plan.Slices.Count)
        {
            int room = plan.Slices.Count * 2;
            (_first, _count, _failures) = (new int[room], new int[room], new string?[room]);
        }
        int tokens = 0;
        for (int i = 0; i < plan.Slices.Count; i++)
        {
            (_first[i], _count[i], _failures[i]) = (tokens, 0, null);
            tokens += plan.Slices[i].DraftCount + 1;
        }
        if (_tokens.Length < tokens)
            _tokens = new SampledToken[tokens * 2];
    }

    /// <summary>Adds the slice's next token. Several threads may fill different slices at once.</summary>
    public void Add(int slice, SampledToken token) => _tokens[_first[slice] + _count[slice]++] = token;

    /// <summary>No token could be drawn for this slice: its request ends, the others' do not.</summary>
    public void Fail(int slice, string error) => _failures[slice] = error;

    /// <summary>The slice has a token, or has failed.</summary>
    public bool IsSettled(int slice) => _count[slice] > 0 || _failures[slice] is not null;

    public string? FailureOf(int slice) => _failures[slice];

    public int CountOf(int slice) => _count[slice];

    public SampledToken TokenOf(int slice, int index) => _tokens[_first[slice] + index];
}
