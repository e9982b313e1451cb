using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Placement;

namespace InferenceServer.Tests.Llama.Placement;

/// <summary>Plans of models of real shapes for machines that are made up.</summary>
public sealed class MemoryPlannerTests : IDisposable
{
    private const long GiB = 1L << 30;

    private readonly string _folder = Directory.CreateTempSubdirectory("planner-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private ModelFacts Dense => Facts(HollowModel.Dense8B(_folder));

    private ModelFacts Mixture => Facts(HollowModel.Mixture30B(_folder));

    private static ModelFacts Facts(string path) => ModelFacts.Of(path, GgufReader.Read(path));

    private static LlamaDevice[] Machine(params double[] cards) =>
        [.. cards.Select((size, card) => new LlamaDevice($"CUDA{card}", "a card", LlamaDeviceType.Gpu, (long)(size * GiB), (long)(size * GiB))), new("CPU", "a processor", LlamaDeviceType.Cpu, 64 * GiB, 64 * GiB)];

    private static PlanRequest Request(LlamaModelOptions? model = null, int? cells = null, int contexts = 4) =>
        new() { Model = model ?? new(), Context = new LlamaContextOptions { CellCount = 8192, MaxSequences = 32, MaxOutputs = 24 }, Cells = cells, Contexts = contexts };

    private static MemoryPlan Plan(ModelFacts facts, PlanRequest request, params double[] cards) => MemoryPlanner.Plan(facts, Machine(cards), request);

    [Fact]
    public void A_card_with_room_for_all_holds_all_layers_and_as_many_contexts_as_leave_a_quarter_free()
    {
        MemoryPlan plan = Plan(Dense, Request(), 120);
        Assert.Equal((33, 33, true, 4.0), (plan.GpuLayers, plan.LayerCount, plan.Fits, plan.Contexts));
        Assert.Empty(plan.Why);
        // A token of this shape takes 128 KiB: 4 contexts are 64 GiB, and of what the weights leave free three quarters are for the pool.
        DevicePlan card = Plan(Dense, Request(), 40).Devices[0];
        Assert.InRange(card.KvBytes, 16 * GiB, (long)(0.75 * (40 - 8) * GiB));
    }

    [Fact]
    public void The_context_gives_way_before_layers_and_no_further_than_one_that_is_worth_having()
    {
        MemoryPlan cut = Plan(Dense, Request(), 12);
        Assert.Equal((33, true), (cut.GpuLayers, cut.Fits));
        Assert.InRange(cut.Context.CellCount, MemoryPlanner.LeastCells, 40_000);
        Assert.Contains("the model's context is 131072 tokens, but only", Assert.Single(cut.Why), StringComparison.Ordinal);
        MemoryPlan half = Plan(Dense, Request(), 6);
        Assert.InRange(half.GpuLayers, 10, 25);
        Assert.InRange(half.Context.CellCount, MemoryPlanner.LeastCells, 12_000);
        Assert.True(half.Fits);
        Assert.Contains("layers are on the GPU and the CPU computes the others", half.Why[0], StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_fixed_stays_fixed_and_the_plan_says_when_it_does_not_fit()
    {
        MemoryPlan context = Plan(Dense, Request(cells: 32_768), 12);
        Assert.Equal(32_768, context.Context.CellCount);
        Assert.InRange(context.GpuLayers, 20, 32);
        Assert.True(context.Fits);
        MemoryPlan layers = Plan(Dense, Request(new LlamaModelOptions { GpuLayers = 33 }), 6);
        Assert.Equal((33, false), (layers.GpuLayers, layers.Fits));
        Assert.Contains("does not fit into the free memory of CUDA0", layers.Why[0], StringComparison.Ordinal);
        Assert.Equal(0, Plan(Dense, Request(new LlamaModelOptions { GpuLayers = 0 }), 80).Devices[0].UsedBytes);
    }

    [Fact]
    public void Of_a_mixture_the_experts_leave_the_card_first()
    {
        MemoryPlan plan = Plan(Mixture, Request(), 16);
        Assert.Equal((49, true), (plan.GpuLayers, plan.Fits));
        Assert.InRange(plan.Model.CpuExpertLayers!.Value, 20, 40);
        Assert.InRange(plan.Host.WeightBytes, 12 * GiB, 26 * GiB);
        Assert.Contains("experts of the first", plan.Why[0], StringComparison.Ordinal);
        Assert.Contains("% of them", plan.Why[0], StringComparison.Ordinal);
        // The same memory spent on whole layers is slower: of those the CPU would read everything.
        MemoryPlan layers = Plan(Mixture, Request(new LlamaModelOptions { CpuExpertLayers = 0 }), 16);
        Assert.InRange(layers.GpuLayers, 10, 30);
        Assert.True(plan.SecondsPerToken < layers.SecondsPerToken);
        // All of them, and none.
        MemoryPlan all = Plan(Mixture, Request(new LlamaModelOptions { CpuExpertLayers = int.MaxValue }), 16);
        Assert.Equal((49, 48), (all.GpuLayers, all.Model.CpuExpertLayers));
        Assert.Equal(0, Plan(Mixture, Request(), 48).Model.CpuExpertLayers);
        // What does not even hold the rest loses layers, too.
        MemoryPlan little = Plan(Mixture, Request(), 2);
        Assert.InRange(little.GpuLayers, 0, 48);
        Assert.True(little.Fits);
    }

    [Fact]
    public void Several_cards_are_about_as_full_as_each_other()
    {
        MemoryPlan plan = Plan(Dense, Request(cells: 16_384), 8, 4);
        Assert.Equal((33, true), (plan.GpuLayers, plan.Fits));
        Assert.Equal(plan.Gpus.Select(gpu => (float)gpu.Layers), plan.Model.TensorSplit);
        Assert.Equal(33, plan.Gpus.Sum(gpu => gpu.Layers));
        double[] full = [.. plan.Gpus.Select(gpu => (double)(gpu.UsedBytes + gpu.MarginBytes) / gpu.FreeBytes)];
        Assert.InRange(full[0] - full[1], -0.1, 0.1);
        Assert.True(plan.Devices[0].Layers > plan.Devices[1].Layers);
        // Three cards of which one has next to nothing: it is left out.
        MemoryPlan three = Plan(Dense, Request(cells: 16_384), 8, 0.1, 8);
        Assert.Equal((0, 0L, true), (three.Devices[1].Layers, three.Devices[1].UsedBytes, three.Fits));
    }

    [Fact]
    public void Splits_that_are_asked_for_are_those_of_llama_cpp()
    {
        // llama.cpp gives layer j of n to the first card whose cumulated share exceeds j/n: of 33 the first card has 25 with 3,1.
        MemoryPlan shares = Plan(Dense, Request(new LlamaModelOptions { TensorSplit = [3, 1] }, 8192), 24, 24);
        Assert.Equal([25, 8], shares.Gpus.Select(gpu => gpu.Layers));
        MemoryPlan none = Plan(Dense, Request(new LlamaModelOptions { SplitMode = SplitMode.None, MainGpu = 1 }, 8192), 4, 24);
        Assert.Equal(["CUDA1", "CPU"], none.Devices.Select(device => device.Name));
        Assert.Equal((33, null), (none.GpuLayers, none.Model.TensorSplit));
        MemoryPlan rows = Plan(Dense, Request(new LlamaModelOptions { SplitMode = SplitMode.Row, TensorSplit = [1, 1], MainGpu = 1 }, 8192), 24, 24);
        Assert.Equal(0, rows.Devices[0].KvBytes);
        Assert.Equal(GiB, rows.Devices[1].KvBytes);
        Assert.Equal(rows.Devices[0].WeightBytes, rows.Devices[1].WeightBytes);
        Assert.Equal([0.5f, 0.5f], rows.Model.TensorSplit);
    }

    [Theory]
    [InlineData("--main-gpu 2", 2, null)]
    [InlineData("--tensor-split 1,1,1", 0, new float[] { 1, 1, 1 })]
    [InlineData("--tensor-split 0,0", 0, new float[] { 0, 0 })]
    public void Options_that_contradict_the_machine_are_errors_that_name_them(string named, int main, float[]? split)
    {
        LlamaException refused = Assert.Throws<LlamaException>(() => Plan(Dense, Request(new LlamaModelOptions { MainGpu = main, TensorSplit = split }), 8, 8));
        Assert.StartsWith(named, refused.Message, StringComparison.Ordinal);
        Assert.Contains("there are 2 GPUs", refused.Message, StringComparison.Ordinal);
        // A machine without a GPU splits nothing, and takes the options of one that does.
        Assert.Equal(0, Plan(Dense, Request(new LlamaModelOptions { MainGpu = main, TensorSplit = split })).GpuLayers);
    }

    [Fact]
    public void Models_beside_it_and_a_limit_of_its_own_leave_less_for_the_pool()
    {
        int alone = Plan(Dense, Request(), 16).Context.CellCount;
        int beside = Plan(Dense, Request() with { ReservedBytes = 2 * GiB }, 16).Context.CellCount;
        Assert.InRange(alone - beside, 15_000, 17_000); // 2 GiB of 128 KiB each.
        Assert.Equal(8192, Plan(Dense, Request() with { MemoryLimit = (long)(Dense.WeightBytes * 1.1) + GiB }, 80).Context.CellCount);
        Assert.Equal(8192, Plan(Dense, Request() with { MemoryLimit = (long)(Dense.WeightBytes * 1.1) + GiB }).Context.CellCount);
    }

    [Fact]
    public void More_memory_is_never_slower_and_every_plan_that_was_free_to_choose_fits()
    {
        foreach (ModelFacts facts in (ModelFacts[])[Dense, Mixture, Facts(HollowModel.Windowed4B(_folder))])
        {
            double before = double.MaxValue;
            for (double size = 0.5; size < 48; size *= 1.2)
            {
                MemoryPlan plan = Plan(facts, Request(cells: 8192), size);
                Assert.True(plan.Fits, $"{facts.Path} on {size:F1} GiB");
                Assert.True(plan.SecondsPerToken <= before * 1.001, $"{facts.Path} on {size:F1} GiB is slower than on less");
                before = plan.SecondsPerToken;
                Assert.Equal(facts.WeightBytes + (plan.GpuLayers > 0 ? facts.TiedBytes : 0), plan.Devices.Sum(device => device.WeightBytes));
            }
        }
    }

    [Fact]
    public void A_window_takes_no_more_than_its_cells_and_a_state_the_same_whatever_the_context()
    {
        ModelFacts facts = Facts(HollowModel.Windowed4B(_folder));
        var context = new LlamaContextOptions { CellCount = 8192, MaxSequences = 1 };
        // 29 of 34 layers have a window of 1,024 tokens, and 512 more for a micro-batch.
        Assert.Equal(29, facts.Layers.Count(layer => layer.IsWindowed));
        Assert.Equal(1536 * 4096, facts.KvBytes(0, 131_072, context));
        Assert.Equal(131_072L * 4096, facts.KvBytes(5, 131_072, context));
    }
}
