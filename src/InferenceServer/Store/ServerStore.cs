using InferenceServer.Operations;

namespace InferenceServer.Store;

/// <summary>What the server keeps for its clients: chat completions, responses, conversations, feedback. May be off: then there is nothing, and asking for it is an error.</summary>
internal sealed partial class ServerStore : IAsyncDisposable
{
    /// <summary>In place of a directory: keep nothing.</summary>
    public const string OffName = "off";

    private readonly Database? _database;
    private readonly CompletionStore? _completions;
    private readonly ResponseStore? _responses;
    private readonly ConversationStore? _conversations;
    private readonly FeedbackStore? _feedback;

    public ServerStore(Database? database)
    {
        _database = database;
        if (database is not null)
            (_completions, _responses, _conversations, _feedback) = (new(database), new(database), new(database), new(database));
    }

    public static ServerStore Off { get; } = new(null);

    public bool IsOn => _database is not null;

    /// <summary>Null when it is off.</summary>
    public Database? Database => _database;

    public CompletionStore Completions => _completions ?? throw IsOff();

    public ResponseStore Responses => _responses ?? throw IsOff();

    public ConversationStore Conversations => _conversations ?? throw IsOff();

    public FeedbackStore Feedback => _feedback ?? throw IsOff();

    /// <summary>Opens what the operator chose; without a choice a folder of the user's own, or nothing where that cannot be written.</summary>
    /// <exception cref="ServerStartException">The directory that was named cannot be used.</exception>
    public static ServerStore Open(ServerOptions options, TimeProvider clock, ILogger<ServerStore> log)
    {
        if (options.DataDirectory is OffName)
            return Off;
        string? directory = options.DataDirectory ?? DefaultDirectory();
        if (directory is null)
        {
            LogOff(log, "there is no folder for a user's data; name one with --data-dir");
            return Off;
        }

        try
        {
            StoreOptions store = new() { Directory = Path.GetFullPath(directory), Retention = TimeSpan.FromDays(options.RetentionDays), MaxBytes = options.DataBytes };
            Database database = Database.Open(store, clock, log);
            LogOn(log, store.Directory, options.RetentionDays);
            _ = database.SweepAsync();
            return new ServerStore(database);
        }
        catch (IOException error) when (options.DataDirectory is not null)
        {
            throw new ServerStartException($"{error.Message} Choose another --data-dir, or off; each server needs one of its own.", error);
        }
        catch (IOException error)
        {
            LogOff(log, error.Message);
            return Off;
        }
    }

    public ValueTask DisposeAsync() => _database?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static string? DefaultDirectory() =>
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify) is { Length: > 0 } folder
            ? Path.Combine(folder, "InferenceServer")
            : null;

    private static RequestProblem IsOff() =>
        RequestProblem.Invalid("This server keeps nothing: it was started without a data directory (--data-dir).", null, "store_off");

    [LoggerMessage(EventId = 132, Level = LogLevel.Information, Message = "Stored completions, responses and conversations are kept in {Directory} for {Days} days after their last use, and feedback until it is deleted")]
    private static partial void LogOn(ILogger logger, string directory, int days);

    [LoggerMessage(EventId = 133, Level = LogLevel.Warning, Message = "Nothing will be stored: {Why}")]
    private static partial void LogOff(ILogger logger, string why);
}

/// <summary>Whose things a request may see: those of its key; without keys all are everybody's.</summary>
internal static class StoreOwner
{
    public static string Of(HttpContext http) => ApiKey.Of(http).Id ?? "";
}
