// One request on its way through a model, whatever dialect it came in: every endpoint translates its body into a ChatRequest or a TextRequest and runs that
// through here, so that tools, reasoning, constraints and moderation are the same for all of them.

using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Moderation;

namespace InferenceServer.Chat;

/// <summary>A request that was accepted and runs. Disposing cancels what still runs.</summary>
internal sealed class ChatTurn : IDisposable
{
    private readonly ReplySplitter?[] _splitters;
    private readonly ITurnObserver? _observer;
    private HostedRounds? _rounds;

    private ChatTurn(ServedModel model, IReadOnlyList<GenerationRequest> requests, GenerationSet generations, ReplySplitter?[] splitters, ITurnObserver? observer)
    {
        (Model, Requests, Generations, _splitters, _observer) = (model, requests, generations, splitters, observer);
        observer?.Submitted(generations);
    }

    public ServedModel Model { get; }

    /// <summary>Of the first round, where the server runs tools.</summary>
    public GenerationSet Generations { get; }

    /// <summary>Null where nobody asked for moderation.</summary>
    public TurnModeration? Moderation { get; private init; }

    /// <summary>What had to be done to the conversation so that the model's template can say it.</summary>
    public IReadOnlyList<string> Adaptations { get; private init; } = [];

    /// <summary>The places in the tools' schemas that are left open, since they cannot be enforced.</summary>
    public IReadOnlyList<string> LoosenedSchemas { get; private init; } = [];

    /// <summary>What the engine was given: a request each choice.</summary>
    public IReadOnlyList<GenerationRequest> Requests { get; }

    /// <summary>What goes to the engine, and how what comes back is taken apart.</summary>
    private sealed record Prepared(IReadOnlyList<GenerationRequest> Requests, ReplySplitter?[] Splitters, IReadOnlyList<string> Adaptations, IReadOnlyList<string> Loosened);

    /// <summary>Renders, compiles what the reply must obey, tokenizes, lets moderation judge and submits.</summary>
    /// <param name="aborted">Whoever asked went away.</param>
    /// <exception cref="RequestProblem">The request cannot be answered as asked.</exception>
    public static async Task<ChatTurn> StartAsync(ServedModel model, ChatRequest request, ModerationGate gate, ITurnObserver? observer, CancellationToken aborted)
    {
        request = request with { Options = request.Options.Over(model.Settings()) };
        Prepared prepared = await PrepareAsync(model, request, aborted);
        // What was approved runs first: until then nothing is known but that the request could be answered.
        bool waits = request.Hosted is { Approved.Count: > 0 };
        if (!waits)
            observer?.Accepted(model.Id, prepared.Requests);
        TurnModeration? moderation = await TurnModeration.OfAsync(request, gate, observer, aborted);
        moderation?.Begin(prepared.Requests.Count);
        bool refuses = moderation is { RefusesInput: true };
        GenerationSet generations = refuses || waits
            ? GenerationSet.Ended(prepared.Requests, aborted)
            : GenerationSet.Submit(model.Engine, prepared.Requests, aborted);
        ChatTurn turn = new(model, prepared.Requests, generations, prepared.Splitters, observer)
        {
            Moderation = moderation,
            Adaptations = prepared.Adaptations,
            LoosenedSchemas = prepared.Loosened,
        };
        if (request.Hosted is not null && !refuses)
            turn._rounds = new HostedRounds(request, model.ContextLength, moderation, waits ? null : turn.First(), next => BeginAsync(model, next, observer, aborted), aborted);
        return turn;
    }

    private static async Task<Prepared> PrepareAsync(ServedModel model, ChatRequest request, CancellationToken aborted)
    {
        List<string> adaptations = [];
        RenderedPrompt rendered = ChatPrompt.Render(request, model, adaptations);
        ReplyGuard guard = ReplyGuard.Of(request, model, rendered.Text);
        ServedConstraint? constraint = guard.Constraint is { } source ? await model.Constraints.CompileAsync(source, aborted) : null;
        // A strict server is strict about what clients wrote; the schemas of its own tools are not theirs.
        if (request.RefusesLooseSchemas && constraint?.Loosened.FirstOrDefault(place => request.Hosted?.Tools.Any(tool => place.StartsWith(tool.Offered.Path, StringComparison.Ordinal)) != true) is { } loose)
            throw RequestProblem.Invalid("{where} cannot be enforced, and the server is strict.", loose, ConstraintProblems.Code);
        IReadOnlyList<GenerationRequest> requests = ChatPrompt.Requests(request, model, rendered, constraint?.Constraint, guard.Split is not null);
        ReplySplitter?[] splitters = new ReplySplitter?[requests.Count];
        for (int i = 0; i < splitters.Length; i++)
            splitters[i] = guard.Split is { } options ? new ReplySplitter(model.Replies.Format, options) : null;
        return new(requests, splitters, adaptations, constraint?.Loosened ?? []);
    }

    /// <summary>A later round of a turn in which the server runs tools.</summary>
    private static async Task<ReplyRound> BeginAsync(ServedModel model, ChatRequest request, ITurnObserver? observer, CancellationToken aborted)
    {
        Prepared prepared = await PrepareAsync(model, request, aborted);
        observer?.Accepted(model.Id, prepared.Requests);
        GenerationSet generations = GenerationSet.Submit(model.Engine, prepared.Requests, aborted);
        observer?.Submitted(generations);
        return new ReplyRound(generations, new ReplySplitting(generations, prepared.Splitters, observer));
    }

    private ReplyRound First() => new(Generations, new ReplySplitting(Generations, _splitters, _observer));

    /// <summary>Submits prompts that no template made: their replies are content as they stand.</summary>
    /// <exception cref="RequestProblem">The request cannot be answered as asked.</exception>
    public static async Task<ChatTurn> StartAsync(ServedModel model, TextRequest request, ITurnObserver? observer, CancellationToken aborted)
    {
        request = request with { Options = request.Options.Over(model.Settings()) };
        ServedConstraint? constraint = request.Options.Constraint is { } source ? await model.Constraints.CompileAsync(source, aborted) : null;
        IReadOnlyList<GenerationRequest> requests = TextPrompts.Requests(request, model, constraint?.Constraint);
        observer?.Accepted(model.Id, requests);
        return new(model, requests, GenerationSet.Submit(model.Engine, requests, aborted), new ReplySplitter?[requests.Count], observer);
    }

    /// <summary>The reply's way, stage by stage. To be read once.</summary>
    /// <param name="whole">Nobody reads it before it is whole.</param>
    /// <param name="store">Awaited with the whole replies, once every choice has ended and before anybody is told so; null keeps nothing.</param>
    public IReplySource Replies(bool whole, Func<WholeReply[], Task>? store = null)
    {
        IReplySource replies = _rounds ?? First().Replies;
        if (Moderation is not null)
            replies = new ReplyModeration(replies, Moderation, Requests.Count, _rounds is null ? Generations.Stop : _ => _rounds.Stop(), whole);
        if (store is not null)
            replies = new ReplyStoring(replies, Requests.Count, store);
        return replies;
    }

    /// <summary>Reads the replies to their ends; one each choice.</summary>
    /// <param name="store">As in <see cref="Replies"/>.</param>
    /// <exception cref="RequestProblem">A choice failed: there is no answer.</exception>
    public async Task<WholeReply[]> CollectAsync(Func<WholeReply[], Task>? store = null)
    {
        ReplyCollector collector = new(Requests.Count);
        IReplySource replies = Replies(whole: true, store);
        List<ReplyEvent> events = [];
        for (bool open = true; open;)
        {
            events.Clear();
            open = await replies.ReadAsync(events);
            foreach (ReplyEvent read in events)
                collector.Add(read);
        }

        return collector.Replies();
    }

    public void Dispose()
    {
        _rounds?.Dispose();
        Generations.Dispose();
    }
}
