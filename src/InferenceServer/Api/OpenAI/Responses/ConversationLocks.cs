using System.Collections.Concurrent;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>One turn of a conversation at a time: the next one has to see what the last one added. As many entries as turns run.</summary>
internal sealed class ConversationLocks
{
    private readonly ConcurrentDictionary<(string Owner, string Id), byte> _taken = new();

    // A turn lets go a moment after its answer has gone out, and a client may be as fast as that.
    private const int Tries = 50;
    private static readonly TimeSpan BetweenTries = TimeSpan.FromMilliseconds(10);

    /// <exception cref="ApiException">400, as OpenAI answers it: another turn is running.</exception>
    public async Task<ConversationTurn> TakeAsync(string owner, string id, CancellationToken cancellation)
    {
        for (int tries = 1; !_taken.TryAdd((owner, id), 0); tries++)
        {
            if (tries == Tries)
                throw ApiException.InvalidValue("Another response is being made in this conversation; retry once it has ended.", "conversation", "conversation_locked");
            await Task.Delay(BetweenTries, cancellation);
        }

        return new ConversationTurn(() => _taken.TryRemove((owner, id), out _));
    }
}

/// <summary>The right to a conversation's next turn, until it is disposed.</summary>
internal sealed class ConversationTurn(Action release) : IDisposable
{
    private Action? _release = release;

    /// <summary>To whom the turn goes on with: disposing this one does nothing any more.</summary>
    public ConversationTurn Pass() => new(Interlocked.Exchange(ref _release, null) ?? (static () => { }));

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
