using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Operations;

namespace InferenceServer.Api.Library;

/// <summary>The library as requests may use it.</summary>
internal sealed class LibraryAccess(WebHostOptions options)
{
    /// <summary>Null where the server has none.</summary>
    public ModelLibrary? Library => options.Library;

    /// <summary>server.json, as it is now.</summary>
    public ServerConfiguration Configuration => options.Configuration?.Current ?? ServerConfiguration.None;

    /// <summary>Models that are here, loaded or not.</summary>
    public IReadOnlyList<ModelManifest> Models => Library?.List() ?? [];

    /// <summary>The library, for a request that reads it.</summary>
    /// <exception cref="RequestProblem">There is none.</exception>
    public ModelLibrary ToRead() => Library ?? throw RequestProblem.Invalid("This server has no library of models: start it with --models-dir.", null, "no_library");

    /// <summary>The library, for a request that changes it.</summary>
    /// <exception cref="RequestProblem">There is none, or nobody may.</exception>
    public ModelLibrary ToChange() => Library is null || options.AllowPull ? ToRead() : throw new RequestProblem(ProblemKind.Forbidden,
        "Models are not fetched, made or deleted over HTTP here: the server does not listen on a loopback address, or was started with --allow-pull off. Use 'InferenceServer pull' on its machine, or start it with --allow-pull on.",
        code: "pull_not_allowed");

    /// <summary>Before a request loads, removes or rescales LoRA adapters: it has the server read files of its machine, or changes everybody's replies.</summary>
    /// <exception cref="RequestProblem">Nobody may.</exception>
    public void CheckAdapterChange()
    {
        if (!options.AllowPull)
            throw new RequestProblem(ProblemKind.Forbidden,
                "LoRA adapters are not loaded, removed or rescaled over HTTP here: the server does not listen on a loopback address, or was started with --allow-pull off. Start it with --lora, or with --allow-pull on.",
                code: "pull_not_allowed");
    }

    /// <summary>A failure of the library as a problem of the request.</summary>
    public static RequestProblem ProblemOf(LibraryException failure) => new(failure.Problem switch
    {
        LibraryProblem.Invalid or LibraryProblem.BadFile or LibraryProblem.Offline => ProblemKind.Invalid,
        LibraryProblem.NotFound => ProblemKind.NotFound,
        // Not 401: the client's own key is right.
        LibraryProblem.Unauthorized or LibraryProblem.Gated => ProblemKind.Forbidden,
        LibraryProblem.DiskFull => ProblemKind.StorageFull,
        LibraryProblem.Folder => ProblemKind.Failed,
        _ => ProblemKind.Unavailable,
    }, Sentence(failure.Message), code: failure.Code)
    { RetryAfter = failure.RetryAfter };

    private static string Sentence(string line) => char.ToUpperInvariant(line[0]) + line[1..] + ".";
}
