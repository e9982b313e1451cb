using InferenceServer.Engine.Sampling;
using InferenceServer.Llama;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

/// <summary>Tokens that the device draws, against those that the host draws from the same logits.</summary>
[Collection("llama")]
public sealed class DeviceSamplingTests(LlamaFixture llama, ITestOutputHelper output)
{
    private const int Sequences = 4;

    [Theory]
    [InlineData(TinyArchitecture.Llama)]
    [InlineData(TinyArchitecture.Lfm2)]
    public void Tokens_of_several_sequences_are_those_that_the_host_draws_while_temperatures_change(TinyArchitecture architecture)
    {
        string compared = Compare(llama.Library, llama.PathOf(architecture));
        output.WriteLine(compared);
        Assert.StartsWith("same", compared, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Npms_build_draws_what_its_host_draws()
    {
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Cpu, NativeSource.Npm, out _) is null, "built without -p:LlamaNatives=nuget+npm");
        AssertSame("Cpu", nameof(NativeSource.Npm));
    }

    [SkippableFact]
    public void A_Vulkan_device_draws_what_its_host_draws()
    {
        Skip.If(GpuProbe.VulkanDevices(out string? whyNot) is not { Count: > 0 }, whyNot ?? "the Vulkan drivers list no device");
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing) is null, missing);
        AssertSame("Vulkan");
    }

    [Fact]
    public void A_sequence_that_the_host_samples_has_its_logits_beside_drawn_ones()
    {
        using LlamaContext plain = llama.Context(TinyArchitecture.Llama);
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        DeviceSampling sampling = DeviceSampling.Attach(context, [0, 2])!;
        int[] rows = DecodePrompts(context, Sequences);
        int[] same = DecodePrompts(plain, Sequences);
        for (int id = 0; id < Sequences; id++)
        {
            float[] expected = plain.Logits(same[id]).ToArray();
            if (sampling.IsAttached(id))
            {
                Assert.Equal(Decoding.ArgMax(expected), sampling.Token(rows[id]));
                Assert.Throws<ArgumentException>(() => context.Logits(rows[id]).Length);
            }
            else
            {
                Decoding.AssertClose(expected, context.Logits(rows[id]), 0);
                Assert.Throws<ArgumentException>(() => sampling.Token(rows[id]));
            }
        }
    }

    [Fact]
    public void A_detached_context_gives_all_logits_again_and_can_be_attached_to_anew()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        for (int round = 0; round < 3; round++)
        {
            context.ClearMemory();
            DeviceSampling sampling = DeviceSampling.Attach(context, [0, 1])!;
            Assert.Throws<InvalidOperationException>(() => DeviceSampling.Attach(context, [2]));
            int[] rows = DecodePrompts(context, Sequences);
            int drawn = sampling.Token(rows[1])!.Value;
            sampling.Dispose();
            Assert.Throws<ArgumentException>(() => sampling.Set(1, 0, 0));
            context.ClearMemory();
            rows = DecodePrompts(context, Sequences);
            Assert.Equal(Decoding.ArgMax(context.Logits(rows[1])), drawn);
        }
    }

    [Fact]
    public void A_second_output_of_a_drawn_sequence_is_refused_and_changes_nothing()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        DeviceSampling sampling = DeviceSampling.Attach(context, [0])!;
        using var batch = new LlamaBatch(4);
        batch.Add('a', 0, 0, true);
        batch.Add('b', 1, 0, true);
        Assert.Equal(DecodeStatus.InvalidBatch, context.Decode(batch));
        batch.Clear();
        batch.Add('a', 0, 0, true);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        Assert.NotNull(sampling.Token(0));
    }

    [Fact]
    public void Values_that_the_graph_cannot_take_are_refused()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        Assert.Throws<ArgumentException>(() => DeviceSampling.Attach(context, []));
        Assert.Throws<ArgumentException>(() => DeviceSampling.Attach(context, [context.MaxSequences]));
        DeviceSampling sampling = DeviceSampling.Attach(context, [1])!;
        Assert.Throws<ArgumentException>(() => sampling.Set(0, 1, 0));
        foreach (float temperature in new[] { -1, float.NaN, float.PositiveInfinity, 1e-40f })
            Assert.Throws<ArgumentOutOfRangeException>(() => sampling.Set(1, temperature, 0));
        foreach (double uniform in new[] { -1e-9, 1, double.NaN })
            Assert.Throws<ArgumentOutOfRangeException>(() => sampling.Set(1, 1, uniform));
        sampling.Set(1, 1, 0.99999999999);
        int row = context.Decode1(1, 'a', 0);
        Assert.NotNull(sampling.Token(row));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(128)] // Fewer rows at once than sequences: llama.cpp's plan has none for the last ids, and an older build ends the process.
    public void Every_sequence_id_that_is_offered_can_be_attached_to_and_one_more_is_refused(int microBatch)
    {
        LlamaContextOptions options = LlamaFixture.Options(LlamaContext.SequenceLimit) with { MicroBatchSize = microBatch };
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, options);
        int most = DeviceSampling.MostSequences(context);
        Assert.Equal(Math.Min(microBatch, LlamaContext.SequenceLimit), most);
        Assert.Throws<ArgumentException>(() => DeviceSampling.Attach(context, [most]));
        DeviceSampling sampling = DeviceSampling.Attach(context, [.. Enumerable.Range(0, most)])!;
        for (int id = 0; id < LlamaContext.SequenceLimit; id += 15)
        {
            int row = context.Decode1(id, 'a', 0);
            Assert.True(id < most ? sampling.Token(row) is not null : context.Logits(row).Length > 0);
        }
    }

    [Fact]
    public void A_context_and_its_samplers_can_be_disposed_in_either_order()
    {
        for (int round = 0; round < 2; round++)
        {
            LlamaContext context = llama.Context(TinyArchitecture.Llama);
            DeviceSampling sampling = DeviceSampling.Attach(context, [0, 1])!;
            int row = context.Decode1(1, 'a', 0);
            Assert.NotNull(sampling.Token(row));
            if (round == 0)
                context.Dispose();
            sampling.Dispose();
            context.Dispose();
            Assert.Throws<ArgumentException>(() => sampling.Token(row));
            Assert.Throws<ArgumentException>(() => sampling.Set(1, 0, 0));
        }
    }

    /// <summary>Draws on the device in one context and from the host's logits in another, at temperatures that change from step to step.</summary>
    /// <returns>"same", the steps and the near ties of rounding; or the first difference.</returns>
    internal static string Compare(LlamaLibrary library, string path)
    {
        using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions(), null, CancellationToken.None);
        using var onHost = new LlamaContext(model, LlamaFixture.Options(Sequences), NullLogger.Instance);
        using var onDevice = new LlamaContext(model, LlamaFixture.Options(Sequences), NullLogger.Instance);
        if (DeviceSampling.Attach(onDevice, [.. Enumerable.Range(0, Sequences)]) is not { } sampling)
            return "unsupported";
        float[] temperatures = [0, 1, 0.7f, 2.5f, 0];
        int nearTies = 0, distinct = 0;
        using var batch = new LlamaBatch(Sequences);
        int[] rows = [], same = [];
        var random = new Random(3);
        for (int step = 0; step < 120; step++)
        {
            int[] next = new int[Sequences];
            double[] uniforms = [.. Enumerable.Range(0, Sequences).Select(_ => random.NextDouble())];
            for (int id = 0; id < Sequences; id++)
                sampling.Set(id, temperatures[(step + id) % temperatures.Length], uniforms[id]);
            if (step == 0)
            {
                rows = DecodePrompts(onDevice, Sequences);
                same = DecodePrompts(onHost, Sequences);
            }
            else
            {
                Assert.Equal(DecodeStatus.Ok, onDevice.Decode(batch));
                Assert.Equal(DecodeStatus.Ok, onHost.Decode(batch));
            }
            for (int id = 0; id < Sequences; id++)
            {
                float[] logits = onHost.Logits(same[id]).ToArray();
                float temperature = temperatures[(step + id) % temperatures.Length];
                if (sampling.Token(rows[id]) is not int drawn)
                    return $"step {step}, sequence {id}: nothing drawn";
                int expected = temperature == 0 ? Decoding.ArgMax(logits) : Draw(logits, temperature, uniforms[id]);
                if (drawn != expected)
                {
                    if (temperature == 0 || !IsNearTie(logits, temperature, uniforms[id], drawn))
                        return $"step {step}, sequence {id}, temperature {temperature}: the device drew {drawn}, the host {expected}";
                    nearTies++;
                }
                next[id] = drawn;
            }
            distinct += next.Distinct().Count();
            batch.Clear();
            for (int id = Sequences - 1; id >= 0; id--)
                rows[id] = same[id] = batch.Add(next[id], PromptLength(id) + step, id, true);
        }
        return $"same: {nearTies} near ties, {distinct} distinct tokens in steps";
    }

    private void AssertSame(params string[] library)
    {
        string path = llama.PathOf(TinyArchitecture.Llama);
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?> { ["GGML_VK_VISIBLE_DEVICES"] = null }, null, ["drawn", library[0], path, .. library[1..]]);
        output.WriteLine($"{result.Output}{result.Error}");
        Skip.If(result.Output.StartsWith("unsupported", StringComparison.Ordinal), "the device lacks an operation");
        Assert.StartsWith("same", result.Output, StringComparison.Ordinal);
        Assert.Equal(0, result.ExitCode);
    }

    private static int PromptLength(int id) => 5 + 3 * id;

    /// <summary>A prompt for each sequence in one batch; the rows of their last tokens.</summary>
    private static int[] DecodePrompts(LlamaContext context, int sequences)
    {
        using var batch = new LlamaBatch(context.BatchSize);
        int[] rows = new int[sequences];
        for (int id = 0; id < sequences; id++)
            foreach ((int position, int token) in LlamaFixture.Prompt(PromptLength(id), seed: id).Index())
                rows[id] = batch.Add(token, position, id, position == PromptLength(id) - 1);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        return rows;
    }

    /// <summary>The engine's rule: the first token, in the vocabulary's order, at which the cumulative weight exceeds uniform * total.</summary>
    private static int Draw(float[] logits, float temperature, double uniform)
    {
        float[] maxima = new float[LogitKernels.BlockCount(logits.Length)];
        double[] sums = new double[maxima.Length];
        float max = LogitKernels.BlockSums(logits, 1 / temperature, maxima, sums, out double total);
        return LogitKernels.IndexOfCumulative(logits, sums, max, 1 / temperature, uniform * total);
    }

    /// <summary>Whether the target lies within rounding of the drawn token's share of the weight.</summary>
    private static bool IsNearTie(float[] logits, float temperature, double uniform, int drawn)
    {
        double max = logits.Max();
        double[] weights = [.. logits.Select(logit => Math.Exp((logit - max) / temperature))];
        double total = weights.Sum(), before = weights.Take(drawn).Sum();
        return uniform >= before / total - 1e-5 && uniform <= (before + weights[drawn]) / total + 1e-5;
    }
}
