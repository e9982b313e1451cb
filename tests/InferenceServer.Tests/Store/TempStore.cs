using InferenceServer.Store;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Store;

/// <summary>A store in a folder of its own that goes with it.</summary>
internal sealed class TempStore : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("store-");

    public TempStore(TimeProvider? clock = null, TimeSpan? retention = null, long maxBytes = 1L << 30)
    {
        Options = new StoreOptions { Directory = _folder.FullName, Retention = retention ?? TimeSpan.FromDays(30), MaxBytes = maxBytes };
        Database = Database.Open(Options, clock ?? TimeProvider.System, NullLogger.Instance);
        Store = new ServerStore(Database);
    }

    public StoreOptions Options { get; }

    public Database Database { get; }

    public ServerStore Store { get; }

    public async ValueTask DisposeAsync()
    {
        await Store.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
