using InferenceServer.Operations;
using InferenceServer.Store;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Store;

/// <summary>Which folder is taken, and what becomes of one that cannot be.</summary>
public sealed class ServerStoreTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("data-dir-");

    public void Dispose() => _folder.Delete(recursive: true);

    private static ServerStore Open(params string[] arguments) => ServerStore.Open(
        CommandLine.Read(arguments, new ConfigurationBuilder().Build(), _ => null).Options!, TimeProvider.System, NullLogger<ServerStore>.Instance);

    [Fact]
    public async Task A_named_folder_is_made_and_off_keeps_nothing()
    {
        string path = Path.Combine(_folder.FullName, "a", "b");
        await using (ServerStore store = Open("--data-dir", path))
            Assert.True(store.IsOn);
        Assert.True(File.Exists(Path.Combine(path, "store.db")));
        Assert.False(Open("--data-dir", "off").IsOn);
    }

    [Fact]
    public async Task A_folder_that_cannot_be_used_or_is_another_servers_ends_the_start_with_its_name()
    {
        string file = Path.Combine(_folder.FullName, "file");
        await File.WriteAllTextAsync(file, "");
        ServerStartException error = Assert.Throws<ServerStartException>(() => Open("--data-dir", Path.Combine(file, "below")));
        Assert.Contains("--data-dir", error.Message, StringComparison.Ordinal);

        string shared = Path.Combine(_folder.FullName, "shared");
        await using ServerStore first = Open("--data-dir", shared);
        Assert.Contains(shared, Assert.Throws<ServerStartException>(() => Open("--data-dir", shared)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_no_database_is_refused_and_left_alone()
    {
        string path = Path.Combine(_folder.FullName, "store.db");
        byte[] letter = "Dear diary, this is no database, and it is long enough to have a header."u8.ToArray();
        File.WriteAllBytes(path, [.. letter, .. letter]);
        Assert.Throws<ServerStartException>(() => Open("--data-dir", _folder.FullName));
        Assert.Equal([.. letter, .. letter], File.ReadAllBytes(path));
    }
}
