using System.Collections.Concurrent;
using InferenceServer.Chat;
using InferenceServer.Operations;
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

    /// <summary>Those of a conversation.</summary>
    public IReadOnlyList<ResponseRun> In(string owner, string conversation) =>
        [.. _running.Values.Select(running => running.Run).Where(run => run.Owner == owner && run.Conversation == conversation)];

    /// <summary>Lets a run go on by itself.</summary>
    /// <param name="conversation">The right to its conversation, until it has ended.</param>
    public void Start(ResponseRun run, ChatTurn turn, RequestTrace trace, ConversationTurn? conversation)
    {
        TaskCompletionSource begins = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _running[run.Id] = (run, FollowAsync());
        begins.SetResult();

        async Task FollowAsync()
        {
            // It may end at once, and must not be entered after it was taken out.
            await begins.Task;
            await run.RunAsync(turn, trace);
            try
            {
                // Its end could not be written; that it failed is less to write, and if this fails too, whoever asks for it is told so.
                if (run.IsUnsaved && await store.Responses.FindAsync(run.Owner, run.Id) is { } stored)
                    await FailAsync(stored, run.Current.Error!.Message);
            }
            catch (Exception error)
            {
                LogUnmarked(log, run.Id, error);
            }

            _running.TryRemove(run.Id, out _);
            conversation?.Dispose();
            run.Dispose();
        }
    }

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (!store.IsOn)
            return;
        foreach (StoredResponse stored in await store.Responses.FindCutOffAsync())
        {
            await FailAsync(stored, "The server ended before the response did.");
            LogCutOff(log, stored.Id);
        }
    }

    /// <summary>A response as it is stored; one that is stored as running, and does not run, has failed.</summary>
    public async Task<StoredResponse> SettleAsync(StoredResponse stored)
    {
        if (!stored.Running || Find(stored.Owner, stored.Id) is not null)
            return stored;
        // It may have ended since it was read: an end is stored before the run is taken out, so what is stored now is the truth.
        StoredResponse now = await store.Responses.FindAsync(stored.Owner, stored.Id) ?? stored;
        return now.Running ? await FailAsync(now, "The response ended, and its end could not be stored.") : now;
    }

    private async Task<StoredResponse> FailAsync(StoredResponse stored, string why)
    {
        ModelResponse response = StoredResponses.Read(stored) with { Status = ModelResponse.Failed, Error = new ResponseFailure("server_error", why) };
        ResponseEventLog events = new();
        using (ResponseEventWriter writer = new(events))
        {
            writer.Response("response.created", StoredResponses.Read(stored));
            writer.Response("response.failed", response);
        }

        IReadOnlyList<ResponseItem> input = StoredResponses.ReadInput(stored);
        StoredResponse failed = StoredResponses.Write(stored.Owner, response, input, stored.Root, events.ToArray(), stored.Origin);
        try
        {
            await store.Responses.SaveAsync(failed, [.. input.Select(item => item.Id)], null);
        }
        catch (RequestProblem)
        {
            // Logged where it failed. It is told as failed all the same, and written when it is asked for again, or at the next start.
        }

        return failed;
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

    [LoggerMessage(EventId = 142, Level = LogLevel.Error, Message = "Response {ResponseId} failed, and that could not be stored")]
    private static partial void LogUnmarked(ILogger logger, string responseId, Exception error);

    [LoggerMessage(EventId = 141, Level = LogLevel.Warning, Message = "Response {ResponseId} was cut off by the end of the last server; it is marked as failed")]
    private static partial void LogCutOff(ILogger logger, string responseId);
}
