using System.Security.Cryptography;
using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine.Scheduling;

/// <summary>Random life against the naive model of <see cref="ScriptedDecoder"/>: every invariant after every step, every reply right to the token.</summary>
public sealed class SchedulerFuzzTests(ITestOutputHelper output) : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("scheduler-fuzz-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData(1, true, 300, 9, 0, 0, 0)]
    [InlineData(2, true, 300, 9, 40_000, 0, 0)]
    [InlineData(3, true, 900, 20, 8_000, 0, 0)]
    [InlineData(4, true, 2_000, 60, 100_000, 0, 0)]
    [InlineData(5, false, 2_000, 12, 0, 0, 0)]
    [InlineData(6, true, 500, 7, 3_000, 0, 0)]
    [InlineData(7, true, 300, 9, 12_000, 1_000_000, 0)]
    [InlineData(8, true, 400, 20, 6_000, 40_000, 0)]
    [InlineData(9, true, 300, 9, 40_000, 0, 100)]
    [InlineData(10, true, 900, 12, 8_000, 0, 700)]
    [InlineData(11, true, 2_000, 30, 300_000, 0, 300)]
    [InlineData(12, false, 2_000, 12, 0, 0, 100)]
    [InlineData(13, true, 500, 7, 3_000, 0, 4_000)]
    [InlineData(14, true, 300, 9, 12_000, 1_000_000, 200)]
    [InlineData(15, true, 400, 20, 6_000, 40_000, 500)]
    public void No_reply_is_ever_wrong_and_no_cell_is_ever_lost(
        int seed, bool sharesCells, int cells, int sequenceIds, int hostBytes, int diskBytes, int checkpointBytes) =>
        Live(seed, sharesCells, cells, sequenceIds, hostBytes, diskBytes, checkpointBytes, DeviceProfile.TwoCores);

    /// <summary>The same with a step in flight while the next is planned, entries that stay until their cells are needed, and restores in small parts.</summary>
    [Theory]
    [InlineData(21, true, 300, 9, 0, 0, 0)]
    [InlineData(22, true, 300, 9, 40_000, 0, 0)]
    [InlineData(23, true, 900, 20, 8_000, 0, 0)]
    [InlineData(24, true, 2_000, 60, 100_000, 0, 0)]
    [InlineData(25, false, 2_000, 12, 0, 0, 0)]
    [InlineData(26, true, 300, 9, 12_000, 1_000_000, 0)]
    [InlineData(27, true, 300, 9, 40_000, 0, 100)]
    [InlineData(28, true, 2_000, 30, 300_000, 0, 300)]
    [InlineData(29, true, 400, 20, 6_000, 40_000, 500)]
    public void Nor_with_a_step_in_flight(int seed, bool sharesCells, int cells, int sequenceIds, int hostBytes, int diskBytes, int checkpointBytes) =>
        Live(seed, sharesCells, cells, sequenceIds, hostBytes, diskBytes, checkpointBytes,
            DeviceProfile.TwoCores with { ComputesAhead = true, IdleCellSeconds = seed % 2 == 0 ? 0 : 0.9e-6, RestoreSecondsPerToken = 0.0006 });

    /// <summary>The same where the device draws the tokens of many plain requests at once, and the host those of all others.</summary>
    [Theory]
    [InlineData(31, 300, 20, 0, 0)]
    [InlineData(32, 900, 20, 40_000, 0)]
    [InlineData(33, 2_000, 60, 100_000, 0)]
    [InlineData(34, 400, 30, 6_000, 40_000)]
    public void Nor_where_the_device_draws(int seed, int cells, int sequenceIds, int hostBytes, int diskBytes) =>
        Live(seed, sharesCells: true, cells, sequenceIds, hostBytes, diskBytes, checkpointBytes: 0,
            DeviceProfile.TwoCores with { ComputesAhead = seed != 33, IdleCellSeconds = 0, DrawnFrom = 4 });

    /// <summary>The same where requests differ in their LoRA adapters: no entry of any tier serves others than it was computed with.</summary>
    [Theory]
    [InlineData(41, true, 300, 9, 40_000, 0, 0, false)]
    [InlineData(42, true, 400, 20, 6_000, 40_000, 0, false)]
    [InlineData(43, true, 900, 12, 8_000, 0, 700, false)]
    [InlineData(44, false, 2_000, 12, 0, 0, 0, false)]
    [InlineData(45, true, 900, 20, 8_000, 0, 0, true)]
    [InlineData(46, true, 300, 9, 12_000, 1_000_000, 200, true)]
    public void Nor_with_adapters(int seed, bool sharesCells, int cells, int sequenceIds, int hostBytes, int diskBytes, int checkpointBytes, bool computesAhead)
    {
        EngineAdapter first = ScriptedDecoder.Adapter("first"), second = ScriptedDecoder.Adapter("second");
        Live(seed, sharesCells, cells, sequenceIds, hostBytes, diskBytes, checkpointBytes, DeviceProfile.TwoCores with { ComputesAhead = computesAhead },
            AdapterSet.None, AdapterSet.Of([(first, 1)]), AdapterSet.Of([(first, 0.5f)]), AdapterSet.Of([(first, 1), (second, 1)]));
    }

    private void Live(int seed, bool sharesCells, int cells, int sequenceIds, int hostBytes, int diskBytes, int checkpointBytes, DeviceProfile device, params AdapterSet[] adapters)
    {
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        int contextLength = sharesCells ? Math.Min(cells, 250) : cells / sequenceIds;
        DecoderLimits limits = new(cells, contextLength, sequenceIds, BatchSize: 64, MaxOutputs: 48, sharesCells, StateBytesPerToken: 16, checkpointBytes,
            DrawnIds: device.DrawnFrom > 0 ? (sequenceIds / 2) - 1 : 0, AttentionTileRows: seed % 3 == 0 ? 0 : 32, RowTile: seed % 2 == 0 && device.DrawnFrom == 0 ? 4 : 1, Profile: device);
        EngineOptions options = new() { MaxSequences = Math.Max(2, sequenceIds / 2 - 1), HostCacheBytes = hostBytes };
        if (diskBytes > 0)
            options = options with { DiskCacheDirectory = _folder.FullName, DiskCacheBytes = diskBytes };
        using SchedulerDriver driver = new(options, limits);
        List<int[]> known = [[.. Enumerable.Repeat(7, 5)]];
        List<(Generation Generation, bool Disturbed)> open = [];
        int operations = 0, replies = 0;
        // With real files an operation takes several times as long.
        int wanted = (diskBytes > 0 ? 10_000 : 20_000) / (checkpointBytes > 0 ? 2 : 1);
        while (operations < wanted)
        {
            operations++;
            driver.DiskCommandsPerStep = random.Next(3);
            switch (random.Next(100))
            {
                case < 12 when open.Count < 40:
                    open.Add((driver.Submit(RandomPrompt(random, known, contextLength), random.Next(0, 30), request => request with
                    {
                        CacheNamespace = random.Next(4) == 0 ? "other" : "",
                        SessionId = random.Next(3) == 0 ? $"session {random.Next(5)}" : null,
                        Priority = (RequestPriority)random.Next(3),
                        FairnessKey = $"key {random.Next(3)}",
                        Adapters = adapters.Length > 0 ? adapters[random.Next(adapters.Length)] : AdapterSet.None,
                        Sampling = device.DrawnFrom > 0 && random.Next(5) == 0 ? new SamplingOptions { TopK = 5 } : SamplingOptions.Default,
                        StopStrings = device.ComputesAhead && random.Next(8) == 0 ? ["\"", "#$"] : [],
                        MessageBoundaries = [.. Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(contextLength)).Order()],
                    }), false));
                    break;
                case < 14 when open.Count > 0:
                    int victim = random.Next(open.Count);
                    open[victim].Generation.Cancel();
                    open[victim] = (open[victim].Generation, true);
                    break;
                case 14 when random.Next(10) == 0:
                    if (device.ComputesAhead && random.Next(2) == 0)
                        driver.Decoder.FailNextCollect = "scripted failure";
                    else
                        driver.Decoder.FailNext = "scripted failure";
                    break;
                case 15:
                    driver.Decoder.FailSaves = random.Next(4) == 0;
                    break;
                case 16 when random.Next(4) == 0:
                    driver.Decoder.FailNextRestore = true;
                    break;
                case 17 when diskBytes > 0:
                    Damage(random);
                    break;
                case 18 when random.Next(4) == 0:
                    driver.Scheduler.Cache.DropSession(random.Next(4) == 0 ? "other" : "", $"session {random.Next(5)}");
                    EngineInvariants.Check(driver.Scheduler);
                    break;
                default:
                    driver.Step();
                    break;
            }
            for (int i = open.Count - 1; i >= 0; i--)
            {
                (Generation generation, bool disturbed) = open[i];
                if (driver.ResultOf(generation) is not { } result)
                    continue;
                open.RemoveAt(i);
                replies++;
                if (!disturbed && result.FinishReason != FinishReason.Failed && result.StopString is null)
                    driver.AssertReply(generation);
                known.Add([.. generation.Request.PromptTokens.Span, .. driver.TokensOf(generation)]);
                if (known.Count > 30)
                    known.RemoveAt(random.Next(known.Count));
            }
        }
        (driver.Decoder.FailNext, driver.Decoder.FailNextCollect) = (null, null);
        driver.DiskCommandsPerStep = null;
        driver.RunToEnd();
        foreach ((Generation generation, bool disturbed) in open)
            if (!disturbed && driver.ResultOf(generation) is { StopString: null } result && result.FinishReason != FinishReason.Failed)
                driver.AssertReply(generation);
        EngineSnapshot end = EngineSnapshot.Of(driver.Scheduler);
        output.WriteLine($"{replies} replies, {end.Steps} steps, {end.Preemptions} preemptions, {end.EvictedTokens} evicted, {end.HostHitTokens} restored, "
            + $"{end.PromptTokensCached}/{end.PromptTokens} prompt tokens cached, {end.FailedSteps} failed steps, {end.CheckpointsTaken} checkpoints, {end.CheckpointsRestored} restored");
        if (device.DrawnFrom > 0)
            Assert.InRange(end.DeviceDraws, end.CompletionTokens / 10, end.CompletionTokens * 9 / 10);
        // Sets of adapters share the steps.
        Assert.True(replies > wanted / (adapters.Length > 0 ? 120 : 40), $"only {replies} replies");
        Assert.Equal(adapters.Length > 0, end.AdapterChanges > 0);
        Assert.Equal(0, end.CellsPrivate + end.CellsPinned);
        if (diskBytes == 0)
            return;
        output.WriteLine($"{end.DiskHitTokens} from disk, {end.DiskWrites} writes, {end.DiskCacheEntries} files of {end.DiskCacheBytes} bytes, {end.DiskFilesDamaged} damaged, {end.DiskErrors} errors");
        Assert.True(end.DiskHitTokens > 100 && end.DiskFilesDamaged > 0, "the disk tier was not exercised");
        Assert.True(end.DiskCacheBytes <= diskBytes, "the disk tier is over its budget");
        driver.Flush();
        driver.RunDisk(int.MaxValue);
        Assert.Equal(EngineSnapshot.Of(driver.Scheduler).DiskCacheEntries, _folder.GetFiles("*.kv", SearchOption.AllDirectories).Length);
    }

    /// <summary>Flips a bit, cuts the end off, or deletes a file behind the tier's back.</summary>
    private void Damage(Random random)
    {
        // Names are random; by content the choice is the same in each run.
        FileInfo[] files = [.. _folder.GetFiles("*.kv", SearchOption.AllDirectories).OrderBy(file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file.FullName))))];
        if (files.Length == 0)
            return;
        FileInfo file = files[random.Next(files.Length)];
        byte[] bytes = File.ReadAllBytes(file.FullName);
        if (random.Next(2) == 0)
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        else
            bytes = bytes[..random.Next(bytes.Length)];
        File.WriteAllBytes(file.FullName, bytes);
    }

    private static int[] RandomPrompt(Random random, List<int[]> known, int contextLength)
    {
        int[] stem = known[random.Next(known.Count)];
        int keep = random.Next(3) == 0 ? random.Next(stem.Length + 1) : stem.Length;
        int extra = random.Next(1, random.Next(4) == 0 ? 60 : 8);
        int[] prompt = [.. stem.AsSpan(0, keep), .. Enumerable.Range(0, extra).Select(_ => random.Next(1, 4))];
        return prompt.Length < contextLength ? prompt : prompt[..(contextLength / 2)];
    }
}
