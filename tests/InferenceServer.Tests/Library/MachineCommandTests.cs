using InferenceServer.Commands;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Library;

/// <summary>Plans for machines that are made up: what fits must not depend on the machine at hand.</summary>
public sealed class MachineCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("plan").FullName;
    private readonly string _model;

    public MachineCommandTests()
    {
        _model = Path.Combine(_folder, "tiny.gguf");
        TinyModel.Write(_model, TinyArchitecture.Llama);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private ModelPlan Plan(long gpuBytes)
    {
        using ModelLibrary library = ModelLibrary.Open(new LibraryOptions { Folder = Path.Combine(_folder, "library") });
        return MachineCommands.Plan(_model, library, [new("CUDA0", "A card", LlamaDeviceType.Gpu, gpuBytes, gpuBytes), new("CPU", "A processor", LlamaDeviceType.Cpu, 1L << 40, 1L << 40)]);
    }

    [Fact]
    public void A_model_that_fits_says_how_many_tokens_each_cache_type_leaves_room_for()
    {
        ModelPlan plan = Plan(1L << 30);
        Assert.Equal((true, plan.Layers + 1, new FileInfo(_model).Length), (plan.OnGpu, plan.GpuLayers, plan.WeightBytes));
        Assert.Equal(["f32", "f16", "q8_0", "q4_0"], plan.Pools.Select(pool => pool.CacheType));
        Assert.True(plan.Pools.Zip(plan.Pools.Skip(1)).All(pair => pair.First.Tokens < pair.Second.Tokens), "a smaller type leaves room for more");
        Assert.Equal(2, plan.Pools[0].BytesPerToken / plan.Pools[1].BytesPerToken);
        Assert.Contains("whole context", plan.Verdict, StringComparison.Ordinal);
    }

    [Fact]
    public void One_that_does_not_fit_says_so_and_how_much_of_it_does()
    {
        long weights = new FileInfo(_model).Length;
        ModelPlan half = Plan(weights / 2);
        Assert.InRange(half.GpuLayers!.Value, 0, half.Layers - 1);
        Assert.All(half.Pools, pool => Assert.Equal(0, pool.Tokens));
        Assert.Contains("do not fit onto the GPUs", half.Verdict, StringComparison.Ordinal);
        ModelPlan little = Plan((long)(weights * 1.1 / 0.9) + (64 * Plan(1L << 30).Pools[1].BytesPerToken));
        Assert.Contains("tokens: give --ctx-size", little.Verdict, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_no_model_is_one_clear_error()
    {
        File.WriteAllText(_model, "no model");
        Assert.Equal(LibraryProblem.BadFile, Assert.Throws<LibraryException>(() => Plan(1 << 20)).Problem);
    }
}
