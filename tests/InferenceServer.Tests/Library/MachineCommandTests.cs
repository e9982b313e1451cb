using InferenceServer.Commands;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Tests.Llama;

namespace InferenceServer.Tests.Library;

/// <summary>Plans for machines that are made up: what fits must not depend on the machine at hand.</summary>
public sealed class MachineCommandTests : IDisposable
{
    private const long GiB = 1L << 30;

    private readonly string _folder = Directory.CreateTempSubdirectory("plan").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static ModelPlan Plan(string path, ModelOptions options, params long[] cards) => MachineCommands.Plan(
        options with { ModelPath = path }, "model", null, MachineCommands.Devices([new("CPU", "A processor", LlamaDeviceType.Cpu, 8 * GiB, 8 * GiB)], cards, 64 * GiB));

    [Fact]
    public void The_text_shows_each_device_what_lies_there_and_what_other_contexts_cost()
    {
        ModelPlan plan = Plan(HollowModel.Dense8B(_folder), new ModelOptions { MaxSequences = 4 }, 12 * GiB);
        using StringWriter text = new();
        MachineCommands.Write(text, plan);
        string[] lines = text.ToString().Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("model: 7.9 GiB of weights, 33 layers with the output, trained on 131072 tokens", lines[0], StringComparison.Ordinal);
        Assert.Contains(lines, line => line.StartsWith("GPU0  [####", StringComparison.Ordinal) && line.Contains("=+", StringComparison.Ordinal) && line.Contains("]  of 12.0 GiB: weights ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.StartsWith("CPU   [", StringComparison.Ordinal) && line.Contains("of 64.0 GiB", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.StartsWith("note: the model's context is 131072 tokens, but only ", StringComparison.Ordinal));
        Assert.StartsWith("--CTX-SIZE  KV TYPE  GPU LAYERS  ON GPUS", lines.First(line => line.StartsWith("--CTX", StringComparison.Ordinal)), StringComparison.Ordinal);
        // Four contexts of three types each; the shortest has everything on the GPU and is fastest.
        Assert.Equal(12, plan.Alternatives.Count);
        Assert.Equal((33, 1.0), (plan.Alternatives[^1].GpuLayers, plan.Alternatives.Max(run => run.Speed)));
        Assert.True(plan.Alternatives[0].GpuLayers < plan.Alternatives[1].GpuLayers, "smaller KV types leave room for layers");
        Assert.True(plan.Alternatives[0].Speed < plan.Alternatives[^1].Speed / 2, "layers on the CPU cost speed");
    }

    [Fact]
    public void A_machine_without_a_GPU_has_a_table_without_one()
    {
        ModelPlan plan = Plan(HollowModel.Dense8B(_folder), new ModelOptions());
        using StringWriter text = new();
        MachineCommands.Write(text, plan);
        Assert.Contains("all of it in the host's memory", text.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("GPU LAYERS", text.ToString(), StringComparison.Ordinal);
        Assert.Equal((0, 0), (plan.Start.GpuLayers, plan.Start.CpuMoeLayers));
    }

    [Fact]
    public void Cards_are_made_up_only_where_the_machine_has_not_as_many()
    {
        LlamaDevice host = new("CPU", "A processor", LlamaDeviceType.Cpu, 8 * GiB, 8 * GiB), card = new("CUDA0", "A card", LlamaDeviceType.Gpu, 4 * GiB, 4 * GiB);
        Assert.Equal(["GPU0", "GPU1", "CPU"], MachineCommands.Devices([card, host], [GiB, GiB], null).Select(device => device.Name));
        Assert.Equal([card, host], MachineCommands.Devices([card, host], [GiB], null));
        Assert.Equal(GiB, Plan(HollowModel.Dense8B(_folder), new ModelOptions { DeviceMemory = [GiB] }, 4 * GiB).Start.Devices[0].FreeBytes);
    }

    [Fact]
    public void What_cannot_be_planned_is_one_clear_error()
    {
        string model = Path.Combine(_folder, "tiny.gguf");
        TinyModel.Write(model, TinyArchitecture.Llama);
        LibraryException wrong = Assert.Throws<LibraryException>(() => Plan(model, new ModelOptions { MainGpu = 2 }, GiB));
        Assert.Equal(LibraryProblem.Invalid, wrong.Problem);
        Assert.Contains("--main-gpu 2 does not exist: there is one GPU", wrong.Message, StringComparison.Ordinal);
        File.WriteAllText(model, "no model");
        Assert.Equal(LibraryProblem.BadFile, Assert.Throws<LibraryException>(() => Plan(model, new ModelOptions(), GiB)).Problem);
    }
}
