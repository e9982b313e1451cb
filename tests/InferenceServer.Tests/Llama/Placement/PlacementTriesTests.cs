using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Placement;

namespace InferenceServer.Tests.Llama.Placement;

/// <summary>Loads that fail on a simulated card that has less memory than it says.</summary>
public sealed class PlacementTriesTests : IDisposable
{
    private const long GiB = 1L << 30;

    private readonly string _folder = Directory.CreateTempSubdirectory("tries-").FullName;
    private readonly List<string> _told = [];
    private readonly List<MemoryPlan> _loads = [];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private MemoryPlan Load(long says, long has, LlamaModelOptions? model = null, bool mixture = false)
    {
        string path = mixture ? HollowModel.Mixture30B(_folder) : HollowModel.Dense8B(_folder);
        ModelFacts facts = ModelFacts.Of(path, GgufReader.Read(path));
        var request = new PlanRequest { Model = model ?? new(), Context = new LlamaContextOptions { CellCount = 8192 } };
        return PlacementTries.Run(
            limits => MemoryPlanner.Plan(facts, [new("CUDA0", "", LlamaDeviceType.Gpu, Math.Min(says, limits.GetValueOrDefault("CUDA0", says)), says), new("CPU", "", LlamaDeviceType.Cpu, 64 * GiB, 64 * GiB)], request),
            plan =>
            {
                _loads.Add(plan);
                return plan.Devices[0].UsedBytes <= has ? plan : throw new LlamaException("cannot load it: cudaMalloc failed: out of memory; lower --gpu-layers") { IsOutOfMemory = true };
            },
            _told.Add);
    }

    [Fact]
    public void What_fits_is_loaded_once()
    {
        Load(24 * GiB, 24 * GiB);
        Assert.Empty(_told);
        Assert.Single(_loads);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(14)]
    [InlineData(7)]
    [InlineData(3)]
    [InlineData(0)]
    public void A_card_with_less_than_it_says_gets_less_and_each_try_says_why(int gib)
    {
        MemoryPlan plan = Load(24 * GiB, gib * GiB);
        Assert.InRange(_loads.Count, 2, 5);
        Assert.Equal(_loads.Count - 1, _told.Count);
        Assert.All(_told, told => Assert.StartsWith("cannot load it: cudaMalloc failed: out of memory: next try with ", told, StringComparison.Ordinal));
        Assert.True(_loads.Zip(_loads.Skip(1)).All(pair => pair.Second.Devices[0].UsedBytes < pair.First.Devices[0].UsedBytes), "each try takes less");
        if (gib is 20 or 14)
            Assert.Equal(33, plan.GpuLayers); // The context gives way first.
        if (gib == 0)
            Assert.Equal(0, plan.GpuLayers);
    }

    [Fact]
    public void Of_a_mixture_a_try_moves_experts() => Assert.InRange(Load(48 * GiB, 24 * GiB, mixture: true).Model.CpuExpertLayers!.Value, 1, 47);

    [Fact]
    public void Layers_that_were_fixed_are_not_overridden_and_another_failure_is_no_want_of_memory()
    {
        Assert.Throws<LlamaException>(() => Load(24 * GiB, 4 * GiB, new LlamaModelOptions { GpuLayers = 33 }));
        Assert.All(_loads, plan => Assert.Equal(33, plan.GpuLayers));
        int loads = 0;
        Assert.Throws<LlamaException>(() => PlacementTries.Run<int>(_ => _loads[0], _ => throw new LlamaException($"bad tensor {loads++}"), _told.Add));
        Assert.Equal(1, loads);
    }
}
