using InferenceServer.Engine;
using InferenceServer.Operations;

namespace InferenceServer.Api.Streaming;

/// <summary>The other way to read a <see cref="GenerationSet"/>: to its end, for an answer in one piece.</summary>
internal static class GenerationCollector
{
    /// <summary>Hands every event to <paramref name="take"/> and returns the results in choice order.</summary>
    /// <param name="between">Awaited whenever all that was there is taken.</param>
    /// <exception cref="ApiException">A choice failed: there is no answer.</exception>
    public static async Task<GenerationResult[]> ReadAllAsync(GenerationSet generations, RequestTrace trace, Action<int, GenerationEvent> take, Func<Task>? between = null)
    {
        while (await generations.WaitToReadAsync(CancellationToken.None))
        {
            while (generations.TryRead(out int choice, out GenerationEvent read))
            {
                if (read.Kind == GenerationEventKind.Token)
                    trace.Token(choice);
                else if (GenerationOutcome.Error(read.Result) is { } error)
                    throw error;
                take(choice, read);
            }

            if (between is not null)
                await between();
        }

        GenerationResult[] results = Array.ConvertAll(generations.Results, result => result ?? throw GenerationOutcome.Error(null)!);
        trace.Finished(results);
        return results;
    }
}
