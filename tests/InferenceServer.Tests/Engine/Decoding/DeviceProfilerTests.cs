using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Tests.Llama;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Engine.Decoding;

[Collection("llama")]
public sealed class DeviceProfilerTests(LlamaFixture llama)
{
    public static TheoryData<TinyArchitecture> EveryKind => new(DecodeTests.DecoderArchitectures);

    [Theory]
    [MemberData(nameof(EveryKind))]
    public void Every_kind_of_memory_is_measured_and_left_empty(TinyArchitecture architecture)
    {
        using LlamaContext context = new(llama.Model(architecture), new LlamaContextOptions { CellCount = 2048, BatchSize = 512, MaxSequences = 4, MaxOutputs = 16 }, NullLogger.Instance);
        context.PreparePartialStates();
        DeviceProfile device = DeviceProfiler.Measure(context);
        Assert.Equal((1, 8), (device.Steps[0].Rows, device.Steps[1].Rows));
        Assert.All(device.Steps, step => Assert.InRange(step.Seconds, 1e-7, 60));
        Assert.True(device is { IdleCellSeconds: >= 0, SaveSecondsPerToken: > 0, RestoreSecondsPerToken: > 0, ComputesAhead: false });
        for (int id = 0; id < context.MaxSequences; id++)
            Assert.Equal(-1, context.MaxPosition(id));
    }

    [Theory]
    [InlineData(256, 512, true)]
    [InlineData(256, 16, true)]
    [InlineData(1024, 512, false)]
    public void Small_pools_small_batches_and_separate_memories_are_measured_as_far_as_they_go(int cells, int batch, bool unified)
    {
        using LlamaContext context = new(llama.Model(TinyArchitecture.Llama), new LlamaContextOptions { CellCount = cells, BatchSize = batch, MaxSequences = 4, KvUnified = unified }, NullLogger.Instance);
        DeviceProfile device = DeviceProfiler.Measure(context);
        Assert.InRange(device.Steps.Count, 2, 4);
        Assert.InRange(device.PrefillRowSeconds, 1e-9, 60);
    }
}
