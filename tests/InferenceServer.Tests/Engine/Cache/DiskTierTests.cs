using System.Text;
using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using Microsoft.Extensions.Time.Testing;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine.Cache;

/// <summary>The disk tier over real files: what a restart finds, and what damaged, foreign and refused files may never do.</summary>
public sealed class DiskTierTests(ITestOutputHelper output) : IDisposable
{
    private static readonly DecoderLimits Limits = new(
        Cells: 600, ContextLength: 600, SequenceIds: 17, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disk-tier-");

    private string KvFolder => Path.Combine(_folder.FullName, "kv");

    public void Dispose() => _folder.Delete(recursive: true);

    private SchedulerDriver Start(long hostBytes = 1 << 20, long diskBytes = 1 << 20)
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = hostBytes, DiskCacheDirectory = _folder.FullName, DiskCacheBytes = diskBytes }, Limits);
        driver.RunDisk(1);
        while (driver.Scheduler.Cache.SettleDiskTier())
        {
        }
        return driver;
    }

    private static int[] Prompt(int length, int salt) => [.. Enumerable.Range(0, length).Select(i => 1 + ((i * (7 + (2 * salt)) + salt) % 60))];

    /// <summary>Runs prompts and stops gracefully; the files stay.</summary>
    private void RunAndStop(params int[][] prompts)
    {
        using SchedulerDriver driver = Start();
        foreach (int[] prompt in prompts)
        {
            Generation generation = driver.Submit(prompt);
            driver.RunToEnd();
            driver.AssertReply(generation);
        }
        driver.Flush();
        Assert.Equal(0, EngineSnapshot.Of(driver.Scheduler).DiskErrors);
    }

    private FileInfo[] Files() => new DirectoryInfo(KvFolder).GetFiles("*.kv");

    [Fact]
    public void A_restart_serves_the_old_prefixes_as_hits()
    {
        RunAndStop(Prompt(200, 1), Prompt(150, 2));
        using SchedulerDriver driver = Start();
        Generation again = driver.Submit(Prompt(200, 1));
        driver.RunToEnd();
        driver.AssertReply(again);
        Assert.Equal(199, driver.ResultOf(again)!.CachedTokens);
        Assert.Equal(199, driver.ResultOf(again)!.Cache.DiskTokens);
        Assert.Equal(199, EngineSnapshot.Of(driver.Scheduler).DiskHitTokens);
        Generation longer = driver.Submit([.. Prompt(150, 2), 5, 6, 7]);
        driver.RunToEnd();
        driver.AssertReply(longer);
        Assert.Equal(150, driver.ResultOf(longer)!.CachedTokens);
    }

    [Fact]
    public void A_restart_after_a_restart_still_finds_branches_that_share_a_stem()
    {
        int[] stem = Prompt(100, 1);
        int[][] prompts = [.. Enumerable.Range(0, 5).Select(i => (int[])[.. stem, .. Prompt(40, 10 + i)])];
        RunAndStop(prompts);
        RunAndStop(prompts[0]);
        using SchedulerDriver driver = Start();
        foreach (int[] prompt in prompts)
        {
            Generation again = driver.Submit(prompt);
            driver.RunToEnd();
            driver.AssertReply(again);
            Assert.Equal(139, driver.ResultOf(again)!.CachedTokens);
        }
        Assert.Equal(0, EngineSnapshot.Of(driver.Scheduler).DiskFilesIgnored);
    }

    [Fact]
    public void No_file_crosses_a_namespace_and_none_holds_its_name()
    {
        using (SchedulerDriver first = Start())
        {
            first.Submit(Prompt(200, 1), 4, r => r with { CacheNamespace = "a secret salt" });
            first.RunToEnd();
            first.Flush();
        }
        Assert.NotEmpty(Files());
        foreach (FileInfo file in Files())
            Assert.DoesNotContain("a secret salt", Encoding.Latin1.GetString(File.ReadAllBytes(file.FullName)), StringComparison.Ordinal);
        using SchedulerDriver driver = Start();
        Generation other = driver.Submit(Prompt(200, 1), 4, r => r with { CacheNamespace = "another" });
        Generation same = driver.Submit(Prompt(200, 1), 4, r => r with { CacheNamespace = "a secret salt" });
        driver.RunToEnd();
        Assert.Equal(0, driver.ResultOf(other)!.CachedTokens);
        Assert.Equal(199, driver.ResultOf(same)!.CachedTokens);
    }

    [Fact]
    public void Files_and_folder_are_for_the_owner_alone()
    {
        if (OperatingSystem.IsWindows())
            return;
        RunAndStop(Prompt(200, 1));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(KvFolder));
        Assert.All(Files(), file => Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, file.UnixFileMode));
    }

    [Fact]
    public void A_file_of_another_model_is_ignored_and_counted_and_goes_first()
    {
        RunAndStop(Prompt(200, 1));
        byte[] other = [.. SchedulerDriver.Fingerprint];
        other[0]++;
        CacheFile.Write(Path.Combine(KvFolder, "other.kv"), Path.Combine(KvFolder, "other.tmp"), other, PrefixTree.NamespaceKey(""), 0, Prompt(140, 3), new byte[2240]);
        long budget = Files().Sum(file => file.Length) + 100;
        using SchedulerDriver driver = Start(diskBytes: budget);
        EngineSnapshot snapshot = EngineSnapshot.Of(driver.Scheduler);
        Assert.Equal((1, 0), (snapshot.DiskFilesIgnored, snapshot.DiskFilesDamaged));
        Generation generation = driver.Submit(Prompt(100, 3));
        driver.RunToEnd();
        driver.AssertReply(generation);
        Assert.Equal(0, driver.ResultOf(generation)!.CachedTokens);
        driver.Flush();
        driver.RunDisk(int.MaxValue);
        Assert.False(File.Exists(Path.Combine(KvFolder, "other.kv")), "the foreign file made room");
        Generation kept = driver.Submit(Prompt(200, 1));
        driver.RunToEnd();
        Assert.Equal(199, driver.ResultOf(kept)!.CachedTokens);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_damaged_file_is_never_used(int seed)
    {
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        int[][] prompts = [.. Enumerable.Range(0, 4).Select(i => Prompt(120, i))];
        int refused = 0;
        for (int round = 0; round < 60; round++)
        {
            RunAndStop(prompts);
            FileInfo victim = Files()[random.Next(Files().Length)];
            byte[] bytes = File.ReadAllBytes(victim.FullName);
            // The header half of the time: it is small.
            int at = random.Next(random.Next(2) == 0 ? 128 : bytes.Length);
            if (random.Next(3) == 0)
                bytes = bytes[..at];
            else
                bytes[at] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(victim.FullName, bytes);
            using SchedulerDriver driver = Start();
            List<Generation> all = [.. prompts.Select(prompt => driver.Submit(prompt))];
            driver.RunToEnd();
            all.ForEach(driver.AssertReply);
            EngineSnapshot end = EngineSnapshot.Of(driver.Scheduler);
            // A changed version number reads as another layout: ignored, not deleted.
            refused += (int)(end.DiskFilesDamaged + end.DiskFilesIgnored);
            Assert.Equal(end.DiskFilesDamaged, File.Exists(victim.FullName) ? 0 : 1);
        }
        // The rest were not read: a state that no prompt asked for stays where it is.
        Assert.True(refused >= 50, $"{refused} of 60 damaged files were noticed");
    }

    [Fact]
    public void What_a_kill_during_a_write_leaves_is_cleared_away()
    {
        RunAndStop(Prompt(200, 1));
        byte[] whole = File.ReadAllBytes(Files()[0].FullName);
        File.WriteAllBytes(Path.Combine(KvFolder, "0123.tmp"), whole[..(whole.Length / 2)]);
        using SchedulerDriver driver = Start();
        Assert.Empty(Directory.GetFiles(KvFolder, "*.tmp"));
        Generation again = driver.Submit(Prompt(200, 1));
        driver.RunToEnd();
        Assert.Equal(199, driver.ResultOf(again)!.CachedTokens);
    }

    [Fact]
    public void The_budget_holds_and_the_newest_entries_stay()
    {
        using SchedulerDriver driver = Start(hostBytes: 8_000, diskBytes: 20_000);
        for (int i = 0; i < 20; i++)
        {
            driver.Submit(Prompt(150, i), 4);
            driver.RunToEnd();
            driver.Flush();
            Assert.True(Files().Sum(file => file.Length) <= 20_000);
        }
        Generation newest = driver.Submit(Prompt(150, 19), 4);
        driver.RunToEnd();
        Assert.Equal(149, driver.ResultOf(newest)!.CachedTokens);
        Generation oldest = driver.Submit(Prompt(150, 0), 4);
        driver.RunToEnd();
        Assert.True(driver.ResultOf(oldest)!.CachedTokens < 149);
    }

    [Fact]
    public void A_disk_that_refuses_everything_costs_only_the_hits()
    {
        using SchedulerDriver driver = Start(hostBytes: 6_000);
        Directory.Delete(KvFolder, recursive: true);
        for (int i = 0; i < 8; i++)
        {
            Generation generation = driver.Submit(Prompt(150, i % 4), 4);
            driver.RunToEnd();
            driver.AssertReply(generation);
            driver.Flush();
        }
        EngineSnapshot end = EngineSnapshot.Of(driver.Scheduler);
        Assert.True(end.DiskErrors > 0);
        Assert.Equal((0, 0, 0), (end.DiskCacheEntries, end.DiskCacheBytes, end.DiskWrites));
        Assert.Contains("Could not find", driver.Scheduler.Cache.Disk!.LastError, StringComparison.Ordinal);
    }

    [SmallDiskFact]
    public void A_full_disk_costs_hits_and_is_used_again_when_there_is_room()
    {
        using SmallDisk disk = SmallDisk.TryMount(_folder.FullName, kilobytes: 64)!;
        string ballast = Path.Combine(_folder.FullName, "ballast");
        // Not a byte is free: what the tier writes from now on fails in the middle.
        using SchedulerDriver driver = Start(hostBytes: 6_000);
        using (FileStream filling = new(ballast, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            void WriteOn()
            {
                for (int i = 0; i < 64; i++)
                    filling.Write(new byte[4096]);
            }
            Assert.ThrowsAny<IOException>(WriteOn);
        }
        void Ask(int salt)
        {
            Generation generation = driver.Submit(Prompt(150, salt), 4);
            driver.RunToEnd();
            driver.AssertReply(generation);
            driver.Flush();
        }
        for (int i = 0; i < 8; i++)
            Ask(i % 4);
        EngineSnapshot full = EngineSnapshot.Of(driver.Scheduler);
        output.WriteLine($"{full.DiskErrors} errors, the last: {driver.Scheduler.Cache.Disk!.LastError}");
        Assert.True(full.DiskErrors > 0);
        Assert.Contains("disk was full", driver.Scheduler.Cache.Disk!.LastError, StringComparison.Ordinal);
        Assert.Equal((0, 0), (full.DiskCacheEntries, full.DiskWrites));
        Assert.Equal(0, full.FailedSteps);
        Assert.Empty(Directory.GetFiles(KvFolder, "*.tmp"));

        File.Delete(ballast);
        for (int i = 0; i < 8; i++)
            Ask(i);
        Assert.True(EngineSnapshot.Of(driver.Scheduler).DiskWrites > 0);
        Assert.NotEmpty(Files());
    }

    [Fact]
    public void A_file_that_vanishes_is_computed_again()
    {
        RunAndStop(Prompt(200, 1));
        using SchedulerDriver driver = Start();
        foreach (FileInfo file in Files())
            file.Delete();
        Generation again = driver.Submit(Prompt(200, 1));
        driver.RunToEnd();
        driver.AssertReply(again);
        Assert.Equal(0, driver.ResultOf(again)!.CachedTokens);
        Assert.True(EngineSnapshot.Of(driver.Scheduler).DiskErrors > 0);
    }

    [Fact]
    public void A_request_does_not_wait_for_ever_for_a_disk_that_hangs()
    {
        RunAndStop(Prompt(200, 1));
        using SchedulerDriver driver = Start();
        driver.DiskCommandsPerStep = 0;
        Generation held = driver.Submit(Prompt(200, 1));
        Generation free = driver.Submit(Prompt(100, 5));
        for (int i = 0; driver.ResultOf(free) is null; i++)
        {
            Assert.True(i < 100, "who needs nothing from disk is not held");
            driver.Step();
        }
        Assert.Null(driver.ResultOf(held));
        driver.RunToEnd();
        driver.AssertReply(held);
        Assert.InRange(driver.ResultOf(held)!.Timing.QueueSeconds, 9.9, 10.2);
    }

    [Fact]
    public void A_state_that_cannot_be_restored_is_dropped_and_not_tried_again()
    {
        RunAndStop(Prompt(200, 1));
        using SchedulerDriver driver = Start();
        driver.Decoder.FailNextRestore = true;
        Generation again = driver.Submit(Prompt(200, 1));
        driver.RunToEnd();
        driver.AssertReply(again);
        Assert.Equal(1, driver.Scheduler.Counters.FailedSteps);
        Assert.Equal(199, driver.Scheduler.Counters.Recomputed + driver.Scheduler.Counters.PromptComputed - 1);
    }

    [Fact]
    public void A_dropped_session_leaves_no_file_behind_and_another_keeps_what_it_shares()
    {
        int[] stem = Prompt(100, 1);
        using SchedulerDriver driver = Start();
        driver.Submit([.. stem, .. Prompt(60, 2)], 4, r => r with { SessionId = "a" });
        driver.RunToEnd();
        // A second turn that turned away from the first one's end.
        driver.Submit([.. stem, .. Prompt(60, 4)], 4, r => r with { SessionId = "a" });
        driver.Submit([.. stem, .. Prompt(60, 3)], 4, r => r with { SessionId = "b" });
        driver.RunToEnd();
        driver.Flush();
        Assert.True(driver.Scheduler.Cache.DropSession("", "a"));
        driver.Flush();
        driver.RunDisk(int.MaxValue);
        CachedSession left = Assert.Single(driver.Scheduler.Cache.ListSessions(""));
        Assert.Equal(("b", 163), (left.Id, left.Tokens));
        Assert.Equal(163, driver.Scheduler.Cache.Ledger.Cached);
        Assert.True(driver.Scheduler.Cache.DropSession("", "b"));
        driver.Flush();
        driver.RunDisk(int.MaxValue);
        Assert.Empty(Files());
        Assert.Equal((0, 0L), (driver.Scheduler.Cache.Ledger.Cached, driver.Scheduler.Cache.Host.UsedBytes));
        Assert.Empty(driver.Scheduler.Cache.Roots);
    }

    [Fact]
    public void A_folder_that_cannot_be_used_is_named_at_start()
    {
        string file = Path.Combine(_folder.FullName, "file");
        File.WriteAllText(file, "");
        FakeTimeProvider time = new();
        Assert.Contains(file, Assert.Throws<IOException>(() => new DiskStore(file, SchedulerDriver.Fingerprint, time)).Message, StringComparison.Ordinal);
        using DiskStore first = new(_folder.FullName, SchedulerDriver.Fingerprint, time);
        Assert.Contains("one of its own", Assert.Throws<IOException>(() => new DiskStore(_folder.FullName, SchedulerDriver.Fingerprint, time)).Message, StringComparison.Ordinal);
    }
}
