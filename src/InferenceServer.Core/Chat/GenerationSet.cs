using System.Threading.Channels;
using InferenceServer.Engine;

namespace InferenceServer.Chat;

/// <summary>
/// The choices of one request, read as one sequence of events. One reader. Disposing cancels what still runs, so no path out of an endpoint leaves work behind.
/// </summary>
internal sealed class GenerationSet : IDisposable
{
    private readonly Generation[] _generations;
    private readonly Task<bool>?[] _waits;
    private readonly bool[] _stopped;
    private readonly CancellationTokenRegistration _abort;
    private int _open;
    private int _next;

    private GenerationSet(Generation[] generations, CancellationToken aborted)
    {
        _generations = generations;
        _waits = new Task<bool>?[generations.Length];
        _stopped = new bool[generations.Length];
        Results = new GenerationResult?[generations.Length];
        _open = generations.Length;
        _abort = aborted.UnsafeRegister(static set => ((GenerationSet)set!).Cancel(), this);
    }

    /// <summary>Submits every request or none: when one is refused, those before it are cancelled.</summary>
    /// <exception cref="RequestProblem">A LoRA adapter was removed since the request named it.</exception>
    public static GenerationSet Submit(IInferenceEngine engine, IReadOnlyList<GenerationRequest> requests, CancellationToken aborted)
    {
        Generation[] generations = new Generation[requests.Count];
        int count = 0;
        try
        {
            for (; count < generations.Length; count++)
                generations[count] = engine.Submit(requests[count]);
        }
        catch (Exception e)
        {
            foreach (Generation generation in generations.AsSpan(0, count))
                generation.Cancel();
            if (e is AdapterRemovedException)
                throw new RequestProblem(ProblemKind.NotFound, e.Message, "model", "model_not_found");
            throw;
        }

        return new GenerationSet(generations, aborted);
    }

    /// <summary>Requests that are answered without the engine: choices that have ended and say nothing.</summary>
    public static GenerationSet Ended(IReadOnlyList<GenerationRequest> requests, CancellationToken aborted) =>
        new([.. requests.Select(Generation.Ended)], aborted);

    /// <summary>How each choice ended; null while it runs.</summary>
    public GenerationResult?[] Results { get; }

    public int Count => _generations.Length;

    /// <summary>Every choice has ended, and its events are read.</summary>
    public bool HasEnded => _open == 0;

    /// <summary>The place in the engine's queue of the choice that comes first; null once one has begun.</summary>
    public int? QueuePosition => Array.Exists(_generations, static generation => generation.QueuePosition is null) ? null : _generations.Min(static generation => generation.QueuePosition);

    /// <summary>As <see cref="Generation.PromptLogprobs"/>: there once the choice's first event is.</summary>
    public IReadOnlyList<TokenLogprobs?>? PromptLogprobs(int choice) => _generations[choice].PromptLogprobs;

    /// <summary>True when an event can be read, false when every choice has ended.</summary>
    public ValueTask<bool> WaitToReadAsync()
    {
        if (_open == 0)
            return new(false);
        return _generations.Length == 1 ? _generations[0].Events.WaitToReadAsync(CancellationToken.None) : WaitForAnyAsync();
    }

    /// <summary>Takes the next event that is there, round robin over the choices.</summary>
    public bool TryRead(out int choice, out GenerationEvent read)
    {
        for (int tried = 0; tried < _generations.Length; tried++)
        {
            choice = _next;
            _next = _next + 1 == _generations.Length ? 0 : _next + 1;
            if (!_generations[choice].Events.TryRead(out read))
                continue;
            if (read.Kind == GenerationEventKind.Finished)
            {
                if (_stopped[choice] && read.Result is { FinishReason: FinishReason.Cancelled } cancelled)
                    read = read with { Result = cancelled with { FinishReason = FinishReason.Stop } };
                Results[choice] = read.Result;
                _open--;
            }

            return true;
        }

        choice = 0;
        read = default;
        return false;
    }

    /// <summary>Ends one choice early: its last event is then that of a reply that ended by itself.</summary>
    public void Stop(int choice)
    {
        _stopped[choice] = true;
        _generations[choice].Cancel();
    }

    public void Cancel()
    {
        foreach (Generation generation in _generations)
            generation.Cancel();
    }

    public void Dispose()
    {
        _abort.Dispose();
        if (_open > 0)
            Cancel();
    }

    /// <summary>Waits on all open channels; a wait that has not fired is kept for the next turn, since a channel takes one reader.</summary>
    private async ValueTask<bool> WaitForAnyAsync()
    {
        List<Task> pending = [];
        for (int i = 0; i < _generations.Length; i++)
        {
            if (Results[i] is not null)
                continue;
            Task<bool> wait = _waits[i] ??= _generations[i].Events.WaitToReadAsync(CancellationToken.None).AsTask();
            if (wait.IsCompleted)
            {
                _waits[i] = null;
                if (await wait)
                    return true;
                throw new ChannelClosedException("A generation ended without a result.");
            }

            pending.Add(wait);
        }

        await Task.WhenAny(pending);
        return true;
    }
}
