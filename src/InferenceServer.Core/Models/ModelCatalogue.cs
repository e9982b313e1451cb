namespace InferenceServer.Models;

/// <summary>The models that this server answers for.</summary>
/// <param name="embedders">Those that embed or rank; a model may be here and chat as well, under one name.</param>
/// <param name="moderation">The one that judges texts; nobody can ask for it by name.</param>
public sealed class ModelCatalogue(IReadOnlyList<ServedModel> models, IReadOnlyList<ServedEmbedder>? embedders = null, ServedEmbedder? moderation = null)
{
    /// <summary>Loads others when they are asked for; null where those of the start are all there is.</summary>
    internal ModelHost? OnDemand { get; init; }

    /// <summary>From another name of a model to its own; what is no other name stays as it is.</summary>
    internal Func<string, string> NameOf { get; init; } = name => name;

    /// <summary>Those that answer now.</summary>
    public IReadOnlyList<ServedEmbedder> Embedders => OnDemand is null ? embedders ?? [] : [.. embedders ?? [], .. OnDemand.Loaded.Select(hosted => hosted.Embedder).OfType<ServedEmbedder>()];

    /// <summary>What runs beside the models that chat: those that embed, and the one that judges.</summary>
    public IReadOnlyList<ServedEmbedder> Side => moderation is null ? Embedders : [.. Embedders, moderation];

    /// <summary>Those that answer now: the start's first, then those that were loaded on demand.</summary>
    public IReadOnlyList<ServedModel> Models => OnDemand is null ? models : [.. models, .. OnDemand.Loaded.Select(hosted => hosted.Chat).OfType<ServedModel>()];

    /// <summary>Those that a request can name: each model, and after it what it is with an adapter.</summary>
    public IEnumerable<ServedModel> Named => WithAdapters(Models);

    /// <summary>As <see cref="Find"/>, and loads the model if it is one that can be. It stays loaded for as long as what <paramref name="hold"/> is given.</summary>
    /// <param name="hold">Takes what must be disposed once the request is done with the model.</param>
    /// <param name="keepAlive">How long it stays afterwards; null for the usual time, <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <exception cref="RequestProblem">As for <see cref="Find"/>; or it cannot be loaded, does not fit, or too many wait.</exception>
    public async ValueTask<ServedModel> UseAsync(string? name, Action<IDisposable> hold, TimeSpan? keepAlive, CancellationToken aborted)
    {
        if (name is null || OnDemand is null || NamedOf(models, name) is not null)
            return Find(name);
        if (await OnDemand.UseAsync(NameOf(name), keepAlive, aborted) is { } lease)
        {
            hold(lease);
            return lease.Hosted.Chat ?? throw EmbedsOnly(name);
        }
        // An adapter is there while its model is.
        if (NamedOf(Models, name) is not { Parent: { } parent } adapted || await OnDemand.UseAsync(parent.Id, keepAlive, aborted) is not { } parents)
            return Find(name);
        hold(parents);
        return parents.Hosted.Chat is { } chat && NamedOf([chat], adapted.Id) is { } found ? found : Find(name);
    }

    /// <summary>As <see cref="FindEmbedder"/>, and loads the model if it is one that can be; the parameters are those of <see cref="UseAsync"/>.</summary>
    /// <exception cref="RequestProblem">As for <see cref="FindEmbedder"/>; or it cannot be loaded, does not fit, or too many wait.</exception>
    public async ValueTask<ServedEmbedder> UseEmbedderAsync(string name, Action<IDisposable> hold, TimeSpan? keepAlive, CancellationToken aborted)
    {
        string own = NameOf(name);
        if (OnDemand is null || models.Any(model => IsNamed(model.Id, own)) || embedders?.Any(model => IsNamed(model.Id, own)) == true || await OnDemand.UseAsync(own, keepAlive, aborted) is not { } lease)
            return FindEmbedder(name);
        hold(lease);
        return lease.Hosted.Embedder ?? throw GeneratesOnly(name);
    }

    /// <summary>Those that embed and do not chat.</summary>
    public IEnumerable<ServedEmbedder> EmbedOnly => Embedders.Where(embedder => Models.All(model => model.Id != embedder.Id));

    /// <param name="name">
    /// As a client wrote it: case, <c>:latest</c> and <c>.gguf</c> do not matter. A model with an adapter is <c>model:adapter</c>, or the adapter's name where no other model has such a one.
    /// Null means the only one that is loaded.
    /// </param>
    /// <exception cref="RequestProblem">No such model is loaded, or it only embeds; or several are loaded, and none is named.</exception>
    public ServedModel Find(string? name) =>
        name is null ? models.Count == 1 ? models[0] : throw RequestProblem.Invalid("{where} is required: several models are loaded.", "model", "missing_required_parameter")
        : NamedOf(Models, name)
        ?? throw (Embedders.Any(model => IsNamed(model.Id, NameOf(name))) ? EmbedsOnly(name) : NotFound(name));

    /// <exception cref="RequestProblem">No such model is loaded, or it only generates.</exception>
    public ServedEmbedder FindEmbedder(string name) =>
        Embedders.FirstOrDefault(model => IsNamed(model.Id, NameOf(name)))
        ?? throw (Models.Any(model => IsNamed(model.Id, NameOf(name))) ? GeneratesOnly(name) : NotFound(name));

    /// <summary>One that embeds and does not chat; null where the name means none.</summary>
    public ServedEmbedder? FindEmbedOnly(string name) => EmbedOnly.FirstOrDefault(model => IsNamed(model.Id, NameOf(name)));

    /// <summary>Whether a client that wrote this name means that model: case, <c>:latest</c> and <c>.gguf</c> do not matter.</summary>
    public static bool IsNamed(string id, string name) => Bare(id).Equals(Bare(name), StringComparison.OrdinalIgnoreCase);

    private static IEnumerable<ServedModel> WithAdapters(IReadOnlyList<ServedModel> models) =>
        models.SelectMany(static model => (IEnumerable<ServedModel>)[model, .. model.Adapters.Named.Select(model.With)]);

    private ServedModel? NamedOf(IReadOnlyList<ServedModel> models, string name)
    {
        string own = NameOf(name);
        foreach (ServedModel model in models)
            if (IsNamed(model.Id, own))
                return model;
        ServedModel[] byAdapter = [.. WithAdapters(models).Where(model => model.Parent is { } parent && (IsNamed(model.Id, name) || parent.Adapters.Find(name) == model.Adapter))];
        return Array.Find(byAdapter, model => IsNamed(model.Id, name)) ?? (byAdapter.Length == 1 ? byAdapter[0] : null);
    }

    /// <summary>Without the tag that Ollama's clients give every model, and without the file's ending.</summary>
    private static ReadOnlySpan<char> Bare(ReadOnlySpan<char> name)
    {
        foreach (string ending in (ReadOnlySpan<string>)[":latest", ".gguf"])
            if (name.EndsWith(ending, StringComparison.OrdinalIgnoreCase))
                name = name[..^ending.Length];
        return name;
    }

    private static RequestProblem EmbedsOnly(string name) => RequestProblem.Invalid($"The model '{name}' embeds texts and does not generate any.", "model", "invalid_value");

    private static RequestProblem GeneratesOnly(string name) => RequestProblem.Invalid(
        $"The model '{name}' is not loaded for embeddings, and its file does not say that it pools: start the server with --embedding-model PATH, which may be its path too.", "model", "invalid_value");

    private RequestProblem NotFound(string id) => new(ProblemKind.NotFound,
        $"The model '{(id.Length <= 100 ? id : id[..100] + "...")}' does not exist; loaded: {string.Join(", ", Named.Select(model => model.Id).Union(Embedders.Select(model => model.Id)))}{(OnDemand is null ? "" : "; /v1/models lists what can be loaded besides")}.",
        "model", "model_not_found");
}
