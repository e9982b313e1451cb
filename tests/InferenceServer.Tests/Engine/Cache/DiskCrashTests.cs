using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Tests.Store;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine.Cache;

/// <summary>The disk tier of a real server that is killed while it writes: what is half written is never used, and what was whole is found again.</summary>
[Collection(nameof(RunsAlone))]
public sealed partial class DiskCrashTests(ITestOutputHelper output) : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disk-crash-");

    public void Dispose() => _folder.Delete(recursive: true);

    private Task<ServerProcess> StartAsync() =>
        ServerProcess.StartAsync(_folder.FullName, "--data-dir", Path.Combine(_folder.FullName, "data"), "--cache-dir", Path.Combine(_folder.FullName, "cache"));

    private FileInfo[] Written() => new DirectoryInfo(Path.Combine(_folder.FullName, "cache")) is { Exists: true } cache
        ? cache.GetFiles("*.kv", SearchOption.AllDirectories)
        : [];

    private static async Task<JsonElement> AskAsync(ServerProcess server, int number)
    {
        string prompt = $"{number}: {string.Join(' ', Enumerable.Range(0, 60).Select(i => $"word{(i * 7) + number}"))}";
        string body = await server.PostAsync("/v1/completions", $"{{\"model\":\"tiny\",\"prompt\":\"{prompt}\",\"max_tokens\":4,\"temperature\":0,\"ignore_eos\":true}}");
        return JsonDocument.Parse(body).RootElement.GetProperty("usage");
    }

    private static async Task<double> MetricAsync(ServerProcess server, string name)
    {
        string text = await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        return Sample().Matches(text).Where(match => match.Groups[1].Value == name).Sum(match => double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"^(\w+)(?:\{[^}]*\})? (\S+)$", RegexOptions.Multiline)]
    private static partial Regex Sample();

    [Fact]
    public async Task A_server_killed_while_it_writes_comes_back_with_what_was_whole_and_nothing_else()
    {
        const int Prompts = 24;
        HashSet<string> first;
        await using (ServerProcess server = await StartAsync())
        {
            // An idle server writes a prompt from its beginning on: of this one something can come back, wherever the kill hits the others.
            await AskAsync(server, 0);
            await Eventually.HoldsAsync(() => Written().Length > 0);
            first = [.. Written().Select(file => file.Name)];
            Task[] asked = [.. Enumerable.Range(1, Prompts - 1).Select(i => AskAsync(server, i))];
            await Eventually.HoldsAsync(() => Written().Length >= first.Count + 12);
            // Some requests may be running yet: they end with the server.
            await server.KillAsync();
            await Task.WhenAll(asked.Select(one => one.ContinueWith(static _ => { }, TaskScheduler.Default)));
        }
        FileInfo[] left = Written();
        string[] halves = Directory.GetFiles(_folder.FullName, "*.tmp", SearchOption.AllDirectories);
        // Beside what the kill left, what a kill at a worse moment of an unlucky file system would leave: the second half of a file missing.
        string unlucky = left.First(file => !first.Contains(file.Name)).FullName;
        byte[] whole = File.ReadAllBytes(unlucky);
        File.WriteAllBytes(unlucky, whole[..(whole.Length / 2)]);

        await using ServerProcess again = await StartAsync();
        int cached = 0;
        for (int i = 0; i < Prompts; i++)
            cached += (await AskAsync(again, i)).GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
        double fromDisk = await MetricAsync(again, "inference_disk_hit_tokens_total"), refused = await MetricAsync(again, "inference_disk_cache_refused_files_total");
        output.WriteLine($"{left.Length} files were left; {cached} tokens cached, {fromDisk} from disk, {refused} files refused");
        Assert.True(fromDisk > 0, "nothing came back from disk");
        // The damaged one, and those whose beginning had not been written yet.
        Assert.True(refused >= 1, "the damaged file was not noticed");
        Assert.Equal(0, await MetricAsync(again, "inference_engine_failed_steps_total"));
        // Only those: this server is writing files of its own by now.
        Assert.DoesNotContain(halves, File.Exists);
    }

    [Fact]
    public async Task A_killed_servers_sessions_are_listed_by_the_next_one_and_can_be_dropped()
    {
        const string Turn = """{"model":"tiny","prompt":"one two three four five six seven eight nine ten eleven twelve","max_tokens":4,"prompt_cache_key":"talk","ignore_eos":true}""";
        JsonElement before;
        string[] files;
        await using (ServerProcess server = await StartAsync())
        {
            await server.PostAsync("/v1/completions", Turn);
            before = await SessionsAsync(server);
            await Eventually.HoldsAsync(() => NamesSay("talk"));
            await server.KillAsync();
            files = [.. Written().Select(file => file.FullName)];
        }
        await using (ServerProcess again = await StartAsync())
        {
            JsonElement session = Assert.Single((await SessionsAsync(again)).EnumerateArray()), was = Assert.Single(before.EnumerateArray());
            foreach (string same in (string[])["id", "model", "tokens", "last_used"])
                Assert.Equal(was.GetProperty(same).ToString(), session.GetProperty(same).ToString());
            Assert.Equal(session.GetProperty("tokens").GetInt32(), session.GetProperty("tiers").GetProperty("disk").GetInt32());
            Assert.True((await again.Client.DeleteAsync(new Uri("/v1/sessions/talk", UriKind.Relative))).IsSuccessStatusCode);
            Assert.Empty((await SessionsAsync(again)).EnumerateArray());
            // Those of the server's own first request stay.
            await Eventually.HoldsAsync(() => !files.All(File.Exists) && !NamesSay("talk"));
        }
    }

    private bool NamesSay(string id) => _folder.GetFiles("*.sessions", SearchOption.AllDirectories) is [var names]
        && Encoding.Latin1.GetString(File.ReadAllBytes(names.FullName)).Contains(Encoding.Latin1.GetString(Encoding.Unicode.GetBytes(id)), StringComparison.Ordinal);

    private static async Task<JsonElement> SessionsAsync(ServerProcess server) =>
        JsonDocument.Parse(await server.Client.GetStringAsync(new Uri("/v1/sessions", UriKind.Relative))).RootElement.GetProperty("data");
}
