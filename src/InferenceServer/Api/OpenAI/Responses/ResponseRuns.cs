using System.Collections.Concurrent;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// The responses that run in the background: found by their id until they end and are stored. At the start those that the last server left running are marked
/// as failed; at the end those that run are waited for.
/// </summary>
internal sealed partial class ResponseRuns(ServerStore store, ILogger<ResponseRuns> log) : IHostedService
{
    // The engine has been drained by then; what is left is to write the ends to the disk.
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, (ResponseRun Run, Task Task)> _running = new();

    public ResponseRun? Find(string owner, string id) => _running.TryGetValue(id, out var found) && found.Run.Owner == owner ? found.Run : null;

    /// <summary>Lets a run go on by itself.</summary>
    public void Start(ResponseRun run, ChatTurn turn)
    {
        TaskCompletionSource begins = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _running[run.Id] = (run, FollowAsync());
        begins.SetResult();

        async Task FollowAsync()
        {
            // It may end at once, and must not be entered after it was taken out.
            await begins.Task;
            await run.RunAsync(turn);
            _running.TryRemove(run.Id, out _);
            run.Dispose();
        }
    }

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (!store.IsOn)
            return;
        foreach (StoredResponse stored in await store.Responses.FindCutOffAsync())
        {
            ModelResponse response = StoredResponses.Read(stored) with
            {
                Status = ModelResponse.Failed,
                Error = new ResponseFailure("server_error", "The server ended before the response did."),
            };
            ResponseEventLog events = new();
            using (ResponseEventWriter writer = new(events))
            {
                writer.Response("response.created", StoredResponses.Read(stored));
                writer.Response("response.failed", response);
            }

            IReadOnlyList<ResponseItem> input = StoredResponses.ReadInput(stored);
            await store.Responses.SaveAsync(StoredResponses.Write(stored.Owner, response, input, stored.Root, events.ToArray()), [.. input.Select(item => item.Id)], null);
            LogCutOff(log, response.Id);
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAll(_running.Values.Select(running => running.Task)).WaitAsync(StopLimit, cancellationToken);
        }
        catch (Exception error) when (error is TimeoutException or OperationCanceledException)
        {
            // The next start marks them as failed.
        }
    }

    [LoggerMessage(EventId = 141, Level = LogLevel.Warning, Message = "Response {ResponseId} was cut off by the end of the last server; it is marked as failed")]
    private static partial void LogCutOff(ILogger logger, string responseId);
}
