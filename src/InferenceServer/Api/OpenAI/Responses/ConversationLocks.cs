namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// One turn of a conversation at a time: the next one has to see what the last one added, and nobody changes its items meanwhile. Those who change items do not
/// exclude each other: the store takes one change after the other. As many entries as conversations are in use.
/// </summary>
internal sealed class ConversationLocks
{
    private const int Turn = -1;

    // How many are changing items, or Turn.
    private readonly Dictionary<(string Owner, string Id), int> _taken = [];
    private readonly Lock _gate = new();

    // A turn lets go a moment after its answer has gone out, and a client may be as fast as that.
    private const int Tries = 50;
    private static readonly TimeSpan BetweenTries = TimeSpan.FromMilliseconds(10);

    /// <summary>The right to the next turn.</summary>
    /// <exception cref="RequestProblem">400, as OpenAI answers it: another turn is running.</exception>
    public Task<ConversationTurn> TakeAsync(string owner, string id, CancellationToken cancellation) => WaitAsync((owner, id), turn: true, "conversation", cancellation);

    /// <summary>The right to add and delete items.</summary>
    /// <exception cref="RequestProblem">400: a turn is running.</exception>
    public Task<ConversationTurn> ChangeAsync(string owner, string id, CancellationToken cancellation) => WaitAsync((owner, id), turn: false, "conversation_id", cancellation);

    private async Task<ConversationTurn> WaitAsync((string Owner, string Id) conversation, bool turn, string param, CancellationToken cancellation)
    {
        for (int tries = 1; !TryTake(conversation, turn); tries++)
        {
            if (tries == Tries)
                throw RequestProblem.Invalid("Another response is being made in this conversation; retry once it has ended.", param, "conversation_locked");
            await Task.Delay(BetweenTries, cancellation);
        }

        return new ConversationTurn(() => Release(conversation));
    }

    private bool TryTake((string Owner, string Id) conversation, bool turn)
    {
        lock (_gate)
        {
            int taken = _taken.GetValueOrDefault(conversation);
            if (taken == Turn || (turn && taken > 0))
                return false;
            _taken[conversation] = turn ? Turn : taken + 1;
            return true;
        }
    }

    private void Release((string Owner, string Id) conversation)
    {
        lock (_gate)
        {
            if (_taken[conversation] is Turn or 1)
                _taken.Remove(conversation);
            else
                _taken[conversation]--;
        }
    }
}

/// <summary>The right to a conversation's next turn, or to change its items, until it is disposed.</summary>
internal sealed class ConversationTurn(Action release) : IDisposable
{
    private Action? _release = release;

    /// <summary>To whom the turn goes on with: disposing this one does nothing any more.</summary>
    public ConversationTurn Pass() => new(Interlocked.Exchange(ref _release, null) ?? (static () => { }));

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
