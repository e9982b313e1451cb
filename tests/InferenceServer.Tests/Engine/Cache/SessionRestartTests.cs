using System.Security.Cryptography;
using System.Text;
using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine.Cache;

/// <summary>Named conversations over a restart: listed, dropped and preferred as before it, by their own namespace alone.</summary>
public sealed class SessionRestartTests(ITestOutputHelper output) : IDisposable
{
    private static readonly DecoderLimits Limits = new(
        Cells: 600, ContextLength: 600, SequenceIds: 17, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("session-restart-");

    public void Dispose() => _folder.Delete(recursive: true);

    private SchedulerDriver Start(long diskBytes = 1 << 20, int checkpointBytes = 0)
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20, DiskCacheDirectory = _folder.FullName, DiskCacheBytes = diskBytes },
            Limits with { CheckpointBytes = checkpointBytes });
        driver.RunDisk(1);
        while (driver.Scheduler.Cache.SettleDiskTier())
        {
        }
        Assert.True(driver.Scheduler.Cache.KnowsSessions);
        EngineInvariants.Check(driver.Scheduler);
        return driver;
    }

    private void RunAndStop(params (string? Session, int[] Prompt)[] turns)
    {
        using SchedulerDriver driver = Start();
        foreach ((string? session, int[] prompt) in turns)
            Run(driver, session, prompt);
        driver.Flush();
    }

    private static GenerationResult Run(SchedulerDriver driver, string? session, int[] prompt, string cacheNamespace = "")
    {
        Generation generation = driver.Submit(prompt, 4, r => r with { SessionId = session, CacheNamespace = cacheNamespace });
        driver.RunToEnd();
        driver.AssertReply(generation);
        return driver.ResultOf(generation)!;
    }

    private static void Flush(SchedulerDriver driver)
    {
        driver.Flush();
        driver.RunDisk(int.MaxValue);
        EngineInvariants.Check(driver.Scheduler);
    }

    private static int[] Prompt(int length, int salt) => [.. Enumerable.Range(0, length).Select(i => 1 + ((i * (7 + (2 * salt)) + salt) % 60))];

    private static string[] Listed(SchedulerDriver driver, string cacheNamespace = "") =>
        [.. driver.Scheduler.Cache.ListSessions(cacheNamespace).Select(session => $"{session.Id} {session.Tokens}")];

    private FileInfo[] Files(string pattern = "*.kv") => _folder.GetFiles(pattern, SearchOption.AllDirectories);

    private FileInfo Names => Assert.Single(Files("*.sessions"));

    [Theory]
    [InlineData(0)]
    [InlineData(200)]
    public void A_restart_lists_the_sessions_with_their_tokens_and_last_use(int checkpointBytes)
    {
        List<CachedSession> before;
        using (SchedulerDriver first = Start(checkpointBytes: checkpointBytes))
        {
            Run(first, "a", Prompt(100, 1));
            Run(first, "b", Prompt(150, 2));
            Run(first, "theirs", Prompt(80, 3), "other");
            // a's name moves on to a newer file, after what it was in had been written.
            Flush(first);
            Run(first, "a", [.. Prompt(100, 1), .. Prompt(50, 4)]);
            Flush(first);
            before = first.Scheduler.Cache.ListSessions("");
        }
        Assert.Equal(["a 153", "b 153"], before.Select(session => $"{session.Id} {session.Tokens}"));
        using SchedulerDriver driver = Start(checkpointBytes: checkpointBytes);
        Assert.Equal(before.Select(session => session with { PoolTokens = 0, HostTokens = 0, DiskTokens = session.Tokens }), driver.Scheduler.Cache.ListSessions(""));
        Assert.Equal(["theirs 83"], Listed(driver, "other"));
        Assert.Empty(Listed(driver, "a third"));
        Assert.False(driver.Scheduler.Cache.DropSession("other", "a"));
        // The next turn finds its prefix, and the name goes on.
        GenerationResult result = Run(driver, "a", [.. Prompt(100, 1), .. Prompt(50, 4), 9]);
        Assert.True(result.CachedTokens >= 149, $"{result.CachedTokens} tokens were cached");
        Assert.Equal(["a 154", "b 153"], Listed(driver));
    }

    [Fact]
    public void A_session_dropped_after_a_restart_leaves_no_file_behind_and_another_keeps_what_it_shares()
    {
        int[] stem = Prompt(100, 1);
        // A second turn of a that turned away from the first one's end.
        RunAndStop(("a", [.. stem, .. Prompt(60, 2)]), ("a", [.. stem, .. Prompt(60, 4)]), ("b", [.. stem, .. Prompt(60, 3)]));
        using (SchedulerDriver driver = Start())
        {
            int files = Files().Length;
            Assert.True(driver.Scheduler.Cache.DropSession("", "a"));
            Assert.False(driver.Scheduler.Cache.DropSession("", "a"));
            Flush(driver);
            Assert.Equal(files - 2, Files().Length);
        }
        using SchedulerDriver again = Start();
        Assert.Equal(["b 163"], Listed(again));
        Assert.Equal(162, Run(again, "b", [.. stem, .. Prompt(60, 3), .. ScriptedDecoder.Reply([.. stem, .. Prompt(60, 3)], 4, 600)[..3]]).CachedTokens);
        Assert.True(again.Scheduler.Cache.DropSession("", "b"));
        Flush(again);
        Assert.Empty(Files());
        Assert.Empty(again.Scheduler.Cache.Roots);
    }

    [Fact]
    public void Sessions_with_one_leaf_are_dropped_one_by_one()
    {
        RunAndStop(("a", Prompt(100, 1)), ("b", Prompt(100, 1)));
        using SchedulerDriver driver = Start();
        Assert.Equal(["b 103", "a 103"], Listed(driver));
        Assert.True(driver.Scheduler.Cache.DropSession("", "b"));
        Flush(driver);
        Assert.Equal(["a 103"], Listed(driver));
        Assert.NotEmpty(Files());
        Assert.True(driver.Scheduler.Cache.DropSession("", "a"));
        Flush(driver);
        Assert.Empty(Files());
    }

    [Theory]
    [InlineData("named", true)]
    [InlineData(null, false)]
    public void A_sessions_newest_turn_outlives_one_off_prompts_that_are_newer(string? session, bool stays)
    {
        RunAndStop([(session, Prompt(150, 0)), .. Enumerable.Range(1, 5).Select(i => ((string?)null, Prompt(150, i)))]);
        // Room for four of the six.
        using SchedulerDriver driver = Start(diskBytes: Files().Sum(file => file.Length) * 4 / 6);
        Assert.Equal(stays, Run(driver, null, Prompt(150, 0)).CachedTokens > 0);
        Assert.Equal(0, Run(driver, null, Prompt(150, 1)).CachedTokens);
    }

    [Fact]
    public void Any_id_comes_back_as_it_was_and_no_namespace_is_written()
    {
        string[] ids = ["", "with/slash and space", "nul\0", "\ud800 alone", "emoji 🙂", new('x', SessionFile.MostIdLength), new('y', SessionFile.MostIdLength + 1)];
        using (SchedulerDriver first = Start())
        {
            for (int i = 0; i < ids.Length; i++)
                Run(first, ids[i], Prompt(60, i), "a secret salt");
            Flush(first);
        }
        foreach (FileInfo file in Files("*"))
            if (file.Name != "lock")
                foreach (Encoding encoding in (Encoding[])[Encoding.Latin1, Encoding.Unicode])
                    Assert.DoesNotContain("a secret salt", encoding.GetString(File.ReadAllBytes(file.FullName)), StringComparison.Ordinal);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, Names.UnixFileMode);
        using SchedulerDriver driver = Start();
        Assert.Empty(Listed(driver));
        // Too long for any request to name it: that one alone is not kept.
        Assert.Equal(ids[..^1].Reverse(), driver.Scheduler.Cache.ListSessions("a secret salt").Select(session => session.Id));
    }

    [Fact]
    public void A_session_whose_leaf_was_lost_is_listed_as_far_as_the_rest_goes()
    {
        using (SchedulerDriver first = Start())
        {
            Run(first, "a", Prompt(100, 1));
            Flush(first);
            Run(first, "a", [.. Prompt(100, 1), .. Prompt(50, 4)]);
            Flush(first);
        }
        Files().OrderBy(file => file.Length).First().Delete();
        using SchedulerDriver driver = Start();
        string listed = Assert.Single(Listed(driver));
        Assert.Contains(listed, (string[])["a 100", "a 103"]);
        Assert.True(driver.Scheduler.Cache.DropSession("", "a"));
        Flush(driver);
        Assert.Empty(Files());
    }

    [Fact]
    public void A_session_of_which_no_file_is_left_is_not_listed()
    {
        RunAndStop(("a", Prompt(100, 1)));
        foreach (FileInfo file in Files())
            file.Delete();
        using SchedulerDriver driver = Start();
        Assert.Empty(Listed(driver));
        Assert.False(driver.Scheduler.Cache.DropSession("", "a"));
    }

    [Fact]
    public void Damaged_names_are_counted_and_deleted_and_the_prefixes_are_hits_all_the_same()
    {
        RunAndStop(("a", Prompt(100, 1)));
        byte[] bytes = File.ReadAllBytes(Names.FullName);
        bytes[60] ^= 1;
        File.WriteAllBytes(Names.FullName, bytes);
        using SchedulerDriver driver = Start();
        Assert.Equal((0, 1), (EngineSnapshot.Of(driver.Scheduler).DiskFilesIgnored, EngineSnapshot.Of(driver.Scheduler).DiskFilesDamaged));
        Assert.Empty(Files("*.sessions"));
        Assert.Empty(Listed(driver));
        Assert.True(Run(driver, "a", Prompt(100, 1)).CachedTokens >= 99);
        Flush(driver);
        Assert.NotNull(Names);
    }

    [Fact]
    public void Names_of_another_model_stay_as_long_as_its_files()
    {
        RunAndStop(("a", Prompt(100, 1)));
        byte[] other = [.. SchedulerDriver.Fingerprint];
        other[0]++;
        string folder = Names.DirectoryName!, foreign = Path.Combine(folder, "0123.sessions"), state = Path.Combine(folder, "other.kv");
        File.WriteAllBytes(foreign, SessionFile.Encode([], other));
        CacheFile.Write(state, state + ".tmp", other, PrefixTree.NamespaceKey(""), 0, Prompt(140, 3), new byte[2240]);
        using (SchedulerDriver driver = Start())
            Assert.Equal(["a 103"], Listed(driver));
        Assert.True(File.Exists(foreign));
        File.Delete(state);
        using (SchedulerDriver driver = Start())
            Assert.Equal(["a 103"], Listed(driver));
        Assert.False(File.Exists(foreign));
    }

    [Fact]
    public void No_changed_or_cut_names_file_is_taken_for_whole_and_a_changed_layout_is_foreign()
    {
        SavedSession session = new(PrefixTree.NamespaceKey("n"), "id", DateTimeOffset.UnixEpoch, [new SavedEnd([]), new SavedEnd([new SavedPlace(DiskStore.NameOf(Guid.NewGuid()), 7)])]);
        byte[] whole = SessionFile.Encode([session, session with { Id = "" }], SchedulerDriver.Fingerprint);
        List<SavedSession> read = SessionFile.Decode(whole, SchedulerDriver.Fingerprint, out _)!;
        Assert.Equal(["id", ""], read.Select(one => one.Id));
        Assert.Equal((session.NamespaceKey, session.LastUsed, 2), (read[0].NamespaceKey, read[0].LastUsed, read[0].Ends.Count));
        Assert.Equal(session.Ends[1].Places, read[0].Ends[1].Places);
        for (int i = 0; i < whole.Length; i++)
        {
            byte[] changed = [.. whole];
            changed[i] ^= 0x10;
            Assert.Null(SessionFile.Decode(changed, SchedulerDriver.Fingerprint, out CacheFileFault damaged));
            Assert.Null(SessionFile.Decode(whole[..i], SchedulerDriver.Fingerprint, out CacheFileFault cut));
            Assert.Equal((CacheFileFault.Damaged, CacheFileFault.Damaged), (damaged, cut));
        }
        byte[] newer = [.. whole];
        newer[8]++;
        SHA256.HashData(newer.AsSpan(..^32), newer.AsSpan(^32));
        Assert.Null(SessionFile.Decode(newer, SchedulerDriver.Fingerprint, out CacheFileFault foreign));
        Assert.Equal(CacheFileFault.Foreign, foreign);
    }

    [Fact]
    public void The_names_file_is_bounded_and_the_most_recent_names_are_in_it()
    {
        string longest = new('x', SessionFile.MostIdLength);
        SavedEnd[] ends = [.. Enumerable.Repeat(new SavedEnd([new SavedPlace(DiskStore.NameOf(Guid.Empty), 1)]), SessionFile.MostEnds)];
        SavedSession[] sessions = [.. Enumerable.Range(0, 4096).Select(i => new SavedSession(PrefixTree.NamespaceKey(""), $"{i} {longest}"[..SessionFile.MostIdLength], DateTimeOffset.UnixEpoch, ends))];
        byte[] bytes = SessionFile.Encode(sessions, SchedulerDriver.Fingerprint);
        output.WriteLine($"{bytes.Length} bytes");
        Assert.InRange(bytes.Length, 4_000_000, 4 << 20 | 32);
        List<SavedSession> read = SessionFile.Decode(bytes, SchedulerDriver.Fingerprint, out _)!;
        Assert.Equal(sessions.Take(read.Count).Select(one => one.Id), read.Select(one => one.Id));
    }

    [Fact]
    public void A_disk_that_refuses_the_names_is_counted_and_asked_again_after_the_next_change()
    {
        using (SchedulerDriver driver = Start())
        {
            string inTheWay = Path.Combine(Files("lock").Single().DirectoryName!, Convert.ToHexStringLower(SchedulerDriver.Fingerprint.AsSpan(0, 8)) + ".sessions");
            Directory.CreateDirectory(inTheWay);
            Run(driver, "a", Prompt(100, 1));
            Flush(driver);
            Assert.True(EngineSnapshot.Of(driver.Scheduler).DiskErrors > 0);
            Directory.Delete(inTheWay);
            Run(driver, "b", Prompt(100, 2));
            Flush(driver);
        }
        using SchedulerDriver again = Start();
        Assert.Equal(["b 103", "a 103"], Listed(again));
    }
}
