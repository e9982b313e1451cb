using System.Globalization;

using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.Placement;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama.Placement;

/// <summary>What is planned against what llama.cpp reserves and takes: a plan that counts too little ends in a start that fails.</summary>
[Collection("llama")]
public sealed class PlacementAccuracyTests(LlamaFixture llama, ITestOutputHelper output) : IDisposable
{
    private static readonly LlamaDevice Host = new("CPU", "", LlamaDeviceType.Cpu, 1L << 37, 1L << 37);

    private static readonly string Shipped = Path.Combine(SharedFolder.RepositoryRoot, "models", "chat-small.gguf");

    private readonly string _folder = Directory.CreateTempSubdirectory("placement-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_formula_is_near_what_llama_cpp_says_and_the_cache_is_exact()
    {
        foreach (string path in DecodeTests.DecoderArchitectures.Append(TinyArchitecture.Mixture).Select(llama.PathOf).Append(Shipped).Append(HollowModel.Dense8B(_folder)).Append(HollowModel.Windowed4B(_folder)))
            Compare(path, sequences: 1, outputs: 0);
        foreach (string path in (string[])[llama.PathOf(TinyArchitecture.Gemma3), HollowModel.Dense8B(_folder), HollowModel.Mixture30B(_folder)])
            Compare(path, sequences: 64, outputs: 24);
    }

    private void Compare(string path, int sequences, int outputs)
    {
        const int Cells = 8192;
        ModelFacts facts = ModelFacts.Of(path, GgufReader.Read(path));
        var context = new LlamaContextOptions { CellCount = Cells, MaxSequences = sequences, MaxOutputs = outputs };
        ModelFacts asked = MemoryProbe.Ask(llama.Library, facts, MemoryPlanner.Plan(facts, [Host], new PlanRequest { Context = context, Cells = Cells }));
        (double formula, double said) = (At(facts.ComputeOf(context)), At(asked.ComputeOf(context)));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(path),-20} {facts.MemoryKind,-13} {sequences,3} sequences: computing {formula,7:F2} MiB by formula, {said,7:F2} said ({formula / said:F2}); KV cache {asked.KvFactor:F4} of what was expected"));
        // One hundredth of a MiB is what llama.cpp's log rounds to.
        Assert.InRange(asked.KvFactor, 0.998, 1.002);
        Assert.InRange(formula, 0.85 * said, 1.4 * said);

        static double At(ComputeCost cost) => (cost.DeviceBytes + (cost.DeviceBytesPerCell * Cells)) / (1 << 20);
    }

    [Fact]
    public void A_context_that_is_made_takes_what_was_said_before()
    {
        foreach (string path in (string[])[Shipped, llama.PathOf(TinyArchitecture.Gemma3), llama.PathOf(TinyArchitecture.Mixture), llama.PathOf(TinyArchitecture.GraniteHybrid)])
        {
            ModelFacts facts = ModelFacts.Read(path, [Host]);
            var request = new PlanRequest { Context = LlamaFixture.Options() with { MaxOutputs = 8 }, Cells = 2048 };
            ModelFacts asked = MemoryProbe.Ask(llama.Library, facts, MemoryPlanner.Plan(facts, [Host], request));
            MemoryPlan plan = MemoryPlanner.Plan(asked, [Host], request);
            using LlamaModel model = LlamaModel.Load(llama.Library, facts, plan.Model, null, CancellationToken.None);
            MemoryProbe.Answer took = MemoryProbe.Read(NativeLog.LinesOf(() => new LlamaContext(model, plan.Context, NullLogger.Instance).Dispose()));
            output.WriteLine($"{Path.GetFileName(path)}: computing {plan.Host.ComputeBytes} planned, {took.Host} taken; KV {plan.Host.KvBytes} planned, {took.Cache} taken");
            Assert.InRange(plan.Host.ComputeBytes, 0.9 * took.Host, 1.25 * took.Host);
            long states = asked.Layers.Sum(layer => layer.StateBytes) * plan.Context.MaxSequences;
            Assert.InRange(plan.Host.KvBytes - states, 0.98 * took.Cache, 1.02 * took.Cache);
            Assert.Equal(model.SizeBytes, plan.Host.WeightBytes);
        }
    }

    [Fact]
    public void Lines_of_devices_and_of_the_host_are_told_apart()
    {
        MemoryProbe.Answer read = MemoryProbe.Read([
            "sched_reserve:      CUDA0 compute buffer size =   304.75 MiB", "sched_reserve:      CUDA1 compute buffer size =   100.00 MiB", "sched_reserve:  CUDA_Host compute buffer size =    28.01 MiB",
            "llama_kv_cache:      CUDA0 KV buffer size =   768.00 MiB", "llama_kv_cache: size =   96.00 MiB (  8192 cells,   6 layers,  4/1 seqs), K (f16):   48.00 MiB, V (f16):   48.00 MiB",
            "llama_kv_cache: size =    4.50 MiB (   256 cells,   5 layers,  4/1 seqs), K (f16):    2.25 MiB, V (f16):    2.25 MiB", "llama_context: graph nodes  = 10"]);
        Assert.Equal(((long)(304.75 * (1 << 20)), (long)(28.01 * (1 << 20)), (long)(100.5 * (1 << 20))), (read.Device, read.Host, read.Cache));
    }
}
