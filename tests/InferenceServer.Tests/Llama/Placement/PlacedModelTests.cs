using InferenceServer.Llama;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.TestModels;

using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama.Placement;

/// <summary>Models whose parts lie in several memories, on whatever Vulkan device there is (Mesa's software device in CI).</summary>
[Collection("llama")]
public sealed class PlacedModelTests(LlamaFixture llama, ITestOutputHelper output)
{
    [SkippableFact]
    public void A_model_that_lies_on_two_cards_and_then_in_part_on_the_CPU_says_what_it_says_there()
    {
        // The same device twice is two to llama.cpp.
        Placed[] all = Run(TinyArchitecture.Gemma3, "0,0", "1", "0.95");
        Assert.Equal(7, all[0].Layers);
        Assert.Matches(@"^[1-6]\+[1-6]$", all[0].Cards);
        Assert.InRange(all[1].Layers, 1, 6);
    }

    // Mesa's software device crashes in its own queue thread when it computes experts itself (version 22.3).
    [SkippableFact]
    public void Experts_stay_on_the_CPU_while_the_rest_of_each_layer_is_on_the_card()
    {
        Placed all = Assert.Single(Run(TinyArchitecture.Mixture, "0", "cpu-moe", "1"));
        Assert.Equal((4, 3), (all.Layers, all.Experts));
    }

    private Placed[] Run(TinyArchitecture architecture, string visible, params string[] memory)
    {
        const int Count = 16;
        string path = llama.PathOf(architecture);
        Skip.If(GpuProbe.VulkanDevices(out string? whyNot) is not { Count: > 0 }, whyNot ?? "the Vulkan drivers list no device");
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing) is null, missing);
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?> { ["GGML_VK_VISIBLE_DEVICES"] = visible }, null, ["placed", "Vulkan", path, $"{Count}", .. memory]);
        output.WriteLine($"{result.Output}{result.Error}");
        Assert.Equal(0, result.ExitCode);
        Placed[] placed = [.. result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Read)];
        // What was said before is what is taken, where anything lies on the card.
        Assert.All(placed.Where(each => each.Layers > 0), each => Assert.InRange(each.Planned, 0.8 * each.Took, 1.5 * each.Took));
        string onCpu = Read(ChildProcess.Placed(llama.Library, path, Count, new LlamaModelOptions(), [1]).Single()).Tokens;
        Assert.All(placed, each => Assert.Equal(onCpu, each.Tokens));
        return placed;
    }

    private static Placed Read(string line)
    {
        string[] words = line.Split(' ', 12);
        long Number(int at) => long.Parse(words[at], System.Globalization.CultureInfo.InvariantCulture);
        return new Placed((int)Number(1), (int)Number(3), words[5], Number(7), Number(9), words[11]);
    }

    private sealed record Placed(int Layers, int Experts, string Cards, long Planned, long Took, string Tokens);
}
