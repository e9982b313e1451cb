namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// One turn of a conversation at a time: the next one has to see what the last one added, and nobody changes its items meanwhile. Those who change items do not
/// exclude each other: the store takes one change after the other. As many entries as conversations are in use.
/// </summary>
internal sealed class ConversationLocks(TimeProvider clock)
{
    // A turn lets go a moment after its answer has gone out, and a client may be as fast as that.
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(500);

    private readonly Dictionary<(string Owner, string Id), Use> _inUse = [];
    private readonly Lock _gate = new();

    /// <summary>Who is in a conversation: a turn, or some that change items.</summary>
    private sealed class Use
    {
        public bool IsTurn { get; set; }

        public int Changing { get; set; }

        /// <summary>Completes when somebody leaves.</summary>
        public TaskCompletionSource Left { get; set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>The right to the next turn.</summary>
    /// <exception cref="RequestProblem">400, as OpenAI answers it: another turn is running.</exception>
    public Task<ConversationTurn> TakeAsync(string owner, string id, CancellationToken cancellation) => WaitAsync((owner, id), turn: true, "conversation", cancellation);

    /// <summary>The right to add and delete items.</summary>
    /// <exception cref="RequestProblem">400: a turn is running.</exception>
    public Task<ConversationTurn> ChangeAsync(string owner, string id, CancellationToken cancellation) => WaitAsync((owner, id), turn: false, "conversation_id", cancellation);

    private async Task<ConversationTurn> WaitAsync((string Owner, string Id) conversation, bool turn, string param, CancellationToken cancellation)
    {
        using CancellationTokenSource late = new(Limit, clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            while (Enter(conversation, turn) is { } left)
                await left.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw RequestProblem.Invalid("Another response is being made in this conversation; retry once it has ended.", param, "conversation_locked");
        }

        return new ConversationTurn(() => Leave(conversation, turn));
    }

    /// <summary>Null when one is in; else what completes when somebody leaves.</summary>
    private Task? Enter((string Owner, string Id) conversation, bool turn)
    {
        lock (_gate)
        {
            if (!_inUse.TryGetValue(conversation, out Use? use))
                _inUse[conversation] = use = new();
            else if (use.IsTurn || turn)
                return use.Left.Task;
            use.IsTurn = turn;
            use.Changing += turn ? 0 : 1;
            return null;
        }
    }

    private void Leave((string Owner, string Id) conversation, bool turn)
    {
        lock (_gate)
        {
            Use use = _inUse[conversation];
            if (turn || --use.Changing == 0)
                _inUse.Remove(conversation);
            TaskCompletionSource left = use.Left;
            use.Left = new(TaskCreationOptions.RunContinuationsAsynchronously);
            left.SetResult();
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
