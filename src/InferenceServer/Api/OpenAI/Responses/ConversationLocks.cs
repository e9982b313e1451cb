using System.Collections.Concurrent;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>One turn of a conversation at a time: the next one has to see what the last one added. As many entries as turns run.</summary>
internal sealed class ConversationLocks
{
    private readonly ConcurrentDictionary<(string Owner, string Id), byte> _taken = new();

    /// <exception cref="ApiException">400, as OpenAI answers it: another turn is running.</exception>
    public ConversationTurn Take(string owner, string id) => _taken.TryAdd((owner, id), 0)
        ? new ConversationTurn(() => _taken.TryRemove((owner, id), out _))
        : throw ApiException.InvalidValue("Another response is being made in this conversation; retry once it has ended.", "conversation", "conversation_locked");
}

/// <summary>The right to a conversation's next turn, until it is disposed.</summary>
internal sealed class ConversationTurn(Action release) : IDisposable
{
    private Action? _release = release;

    /// <summary>To whom the turn goes on with: disposing this one does nothing any more.</summary>
    public ConversationTurn Pass() => new(Interlocked.Exchange(ref _release, null) ?? (static () => { }));

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
