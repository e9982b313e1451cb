namespace InferenceServer.Engine.Embedding;

/// <summary>One request's inputs. Taken and completed by the embedding thread; its result is awaited by the request's task.</summary>
internal sealed class EmbeddingJob
{
    private readonly TaskCompletionSource<float[][]> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenRegistration _cancelled;
    private readonly float[][] _vectors;
    private int _taken;
    private int _missing;

    public EmbeddingJob(IReadOnlyList<int[]> inputs, CancellationToken cancellation)
    {
        Inputs = inputs;
        _vectors = new float[inputs.Count][];
        _missing = inputs.Count;
        TokensLeft = inputs.Sum(input => (long)input.Length);
        _cancelled = cancellation.UnsafeRegister(static (job, token) => ((EmbeddingJob)job!)._result.TrySetCanceled(token), this);
    }

    public IReadOnlyList<int[]> Inputs { get; }

    public Task<float[][]> Result => _result.Task;

    /// <summary>Nobody waits any more, or there is nothing to wait for.</summary>
    public bool IsOver => _result.Task.IsCompleted;

    public bool HasMore => _taken < Inputs.Count;

    public int NextLength => Inputs[_taken].Length;

    /// <summary>Of the inputs that were not taken yet.</summary>
    public long TokensLeft { get; private set; }

    public int Take()
    {
        TokensLeft -= NextLength;
        return _taken++;
    }

    public void Complete(int input, float[] vector)
    {
        _vectors[input] = vector;
        if (--_missing > 0)
            return;
        _cancelled.Dispose();
        _result.TrySetResult(_vectors);
    }

    public void Fail(Exception error)
    {
        _cancelled.Dispose();
        _result.TrySetException(error);
    }
}
