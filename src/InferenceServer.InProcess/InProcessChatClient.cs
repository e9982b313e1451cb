using System.Runtime.CompilerServices;
using InferenceServer.Models;
using InferenceServer.Moderation;

namespace InferenceServer.InProcess;

/// <summary>A model as a chat client. Any number of calls may run at once; they share the engine's batches and its prefix cache.</summary>
internal sealed class InProcessChatClient(ServedModel model, ModerationGate gate, CallGate calls, TimeProvider clock) : IChatClient
{
    private readonly ChatClientMetadata _metadata = new(nameof(InferenceServer), null, model.Id);

    public Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return ReadAsync(messages, options, whole: true, cancellationToken).ToChatResponseAsync(cancellationToken);
    }

    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return ReadAsync(messages, options, whole: false, cancellationToken);
    }

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null : serviceType == typeof(ChatClientMetadata) ? _metadata : serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <summary>Nothing: the engine is the model's, and other clients may use it.</summary>
    public void Dispose()
    {
    }

    private async IAsyncEnumerable<ChatResponseUpdate> ReadAsync(IEnumerable<ChatMessage> messages, ChatOptions? options, bool whole, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        TurnNotes notes = new(clock);
        ReplyUpdates updates = new(model.Id, clock.GetUtcNow(), notes, options?.Reasoning?.Output != ReasoningOutput.None);
        using CancellationTokenSource ends = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, calls.Closing);
        // Whoever leaves the enumeration disposes the turn, and that stops the engine.
        using Chat.ChatTurn turn = await StartAsync(messages, options, notes, ends.Token, cancellationToken);
        Chat.IReplySource replies = turn.Replies(whole);
        List<Chat.ReplyEvent> events = [];
        for (bool open = true; open;)
        {
            events.Clear();
            Exception? failure = null;
            try
            {
                using (calls.Enter())
                    open = await replies.ReadAsync(events);
            }
            catch (Exception error) when (InProcessProblems.Explain(error, calls, cancellationToken) is { } told)
            {
                // What came before it is told, too.
                failure = told;
            }

            foreach (Chat.ReplyEvent read in events)
                if (updates.Of(read) is { } update)
                    yield return update;
            if (failure is not null)
                throw failure;
        }
    }

    private async Task<Chat.ChatTurn> StartAsync(IEnumerable<ChatMessage> messages, ChatOptions? options, TurnNotes notes, CancellationToken ends, CancellationToken asked)
    {
        asked.ThrowIfCancellationRequested();
        try
        {
            using (calls.Enter())
                return await Chat.ChatTurn.StartAsync(model, OptionsReader.Read(messages, options, model, gate), gate, notes, ends);
        }
        catch (Exception error) when (InProcessProblems.Explain(error, calls, asked) is { } told)
        {
            throw told;
        }
    }
}
