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

    private ChatTurn(ServedModel model, IReadOnlyList<GenerationRequest> requests, GenerationSet generations, ReplySplitter?[] splitters, ITurnObserver? observer)
    {
        (Model, Requests, Generations, _splitters, _observer) = (model, requests, generations, splitters, observer);
        observer?.Submitted(generations);
    }

    public ServedModel Model { get; }

    public GenerationSet Generations { get; }

    /// <summary>Null where nobody asked for moderation.</summary>
    public TurnModeration? Moderation { get; private init; }

    /// <summary>What had to be done to the conversation so that the model's template can say it.</summary>
    public IReadOnlyList<string> Adaptations { get; private init; } = [];

    /// <summary>The places in the tools' schemas that are left open, since they cannot be enforced.</summary>
    public IReadOnlyList<string> LoosenedSchemas { get; private init; } = [];

    /// <summary>What the engine was given: a request each choice.</summary>
    public IReadOnlyList<GenerationRequest> Requests { get; }

    /// <summary>Renders, compiles what the reply must obey, tokenizes, lets moderation judge and submits.</summary>
    /// <param name="aborted">Whoever asked went away.</param>
    /// <exception cref="RequestProblem">The request cannot be answered as asked.</exception>
    public static async Task<ChatTurn> StartAsync(ServedModel model, ChatRequest request, ModerationGate gate, ITurnObserver? observer, CancellationToken aborted)
    {
        request = request with { Options = request.Options.Over(model.Settings()) };
        List<string> adaptations = [];
        RenderedPrompt rendered = ChatPrompt.Render(request, model, adaptations);
        ReplyGuard guard = ReplyGuard.Of(request, model, rendered.Text);
        ServedConstraint? constraint = guard.Constraint is { } source ? await model.Constraints.CompileAsync(source, aborted) : null;
        if (request.RefusesLooseSchemas && constraint is { Loosened: [var place, ..] })
            throw RequestProblem.Invalid("{where} cannot be enforced, and the server is strict.", place, ConstraintProblems.Code);
        IReadOnlyList<GenerationRequest> requests = ChatPrompt.Requests(request, model, rendered, constraint?.Constraint, guard.Split is not null);
        observer?.Accepted(model.Id, requests);
        ReplySplitter?[] splitters = new ReplySplitter?[requests.Count];
        for (int i = 0; i < splitters.Length; i++)
            splitters[i] = guard.Split is { } options ? new ReplySplitter(model.Replies.Format, options) : null;
        TurnModeration? moderation = await TurnModeration.OfAsync(request, gate, observer, aborted);
        moderation?.Begin(requests.Count);
        GenerationSet generations = moderation is { RefusesInput: true }
            ? GenerationSet.Ended(requests, aborted)
            : GenerationSet.Submit(model.Engine, requests, aborted);
        return new(model, requests, generations, splitters, observer) { Moderation = moderation, Adaptations = adaptations, LoosenedSchemas = constraint?.Loosened ?? [] };
    }

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
        IReplySource replies = new ReplySplitting(Generations, _splitters, _observer);
        if (Moderation is not null)
            replies = new ReplyModeration(replies, Moderation, Generations, whole);
        if (store is not null)
            replies = new ReplyStoring(replies, Generations.Count, store);
        return replies;
    }

    /// <summary>Reads the replies to their ends; one each choice.</summary>
    /// <param name="store">As in <see cref="Replies"/>.</param>
    /// <exception cref="RequestProblem">A choice failed: there is no answer.</exception>
    public async Task<WholeReply[]> CollectAsync(Func<WholeReply[], Task>? store = null)
    {
        ReplyCollector collector = new(Generations.Count);
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

    public void Dispose() => Generations.Dispose();
}
