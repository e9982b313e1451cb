using System.Globalization;

using InferenceServer.Engine;
using InferenceServer.Llama;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

/// <summary>Choosing a backend, and the Vulkan one on whatever device there is (Mesa's software device in CI).</summary>
[Collection("llama")]
public sealed class BackendTests(LlamaFixture llama, ITestOutputHelper output)
{
    private static readonly Dictionary<string, string?> PlainEnvironment = new() { ["GGML_VK_VISIBLE_DEVICES"] = null };

    [SkippableTheory]
    [InlineData(TinyArchitecture.Llama)]
    public void A_fully_offloaded_model_says_on_Vulkan_what_it_says_on_the_CPU_and_reports_device_memory(TinyArchitecture architecture)
    {
        Skip.If(GpuProbe.VulkanDevices(out string? whyNot) is not { Count: > 0 }, whyNot ?? "the Vulkan drivers list no device");
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing) is null, missing);
        string path = llama.PathOf(architecture);
        string[] cpu = [.. ChildProcess.Greedy(llama.Library, path, 40)];
        ChildProcess.Result vulkan = ChildProcess.Run(PlainEnvironment, null, "greedy", "Vulkan", path, "40");
        output.WriteLine($"{vulkan.Output}{vulkan.Error}");
        Assert.Equal(0, vulkan.ExitCode);
        string[] lines = vulkan.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.Equal(cpu[0], lines[0]);
        Assert.Equal(cpu[1], lines[1]);
        Assert.Equal($"gpu-layers {llama.Model(architecture).LayerCount + 1} of {llama.Model(architecture).LayerCount}", lines[3]);
        string[] device = lines.First(l => l.StartsWith("device", StringComparison.Ordinal) && l.Contains("Vulkan", StringComparison.Ordinal)).Split(' ');
        Assert.InRange(long.Parse(device[2], CultureInfo.InvariantCulture), 1L << 20, long.MaxValue);
        Assert.InRange(long.Parse(device[3], CultureInfo.InvariantCulture), 1, long.Parse(device[2], CultureInfo.InvariantCulture));
    }

    [SkippableFact]
    public async Task An_engine_with_a_step_in_flight_and_draws_on_the_device_says_on_Vulkan_what_it_says_on_the_CPU_without()
    {
        string path = llama.PathOf(TinyArchitecture.Llama);
        List<string> cpu = await ChildProcess.EngineAsync(llama.Library, path, DeviceProfile.TwoCores);
        DeviceProfile ahead = DeviceProfile.TwoCores with { ComputesAhead = true };
        Assert.Equal(cpu[..^1], (await ChildProcess.EngineAsync(llama.Library, path, ahead))[..^1]);
        Assert.Equal(cpu[..^1], (await ChildProcess.EngineAsync(llama.Library, path, ahead with { DrawnFrom = 3 }))[..^1]);
        // As on a card: nothing leaves the pool until its cells are needed, and restores come in parts. Not on Mesa's software device: steps that mix prompts and
        // replies crash it now and then in its own queue thread, with a step in flight (8 of 32 runs) and without (5 of 12).
        Assert.Equal(cpu[..^1], (await ChildProcess.EngineAsync(llama.Library, path, ahead with { IdleCellSeconds = 0, RestoreSecondsPerToken = 200e-6 }))[..^1]);
        Skip.If(GpuProbe.VulkanDevices(out string? whyNot) is not { Count: > 0 }, whyNot ?? "the Vulkan drivers list no device");
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing) is null, missing);
        ChildProcess.Result vulkan = ChildProcess.Run(PlainEnvironment, null, "engine", "Vulkan", path);
        output.WriteLine($"{vulkan.Output}{vulkan.Error}");
        Assert.Equal(0, vulkan.ExitCode);
        string[] lines = vulkan.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.Equal(cpu[..^1], lines[..^1]);
        Assert.Equal("failed 0 cached True evicted True drawn True", lines[^1]);
    }

    [SkippableFact]
    public void Both_builds_of_llama_cpp_compute_the_same_logits()
    {
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Cpu, NativeSource.Npm, out _) is null, "built without -p:LlamaNatives=nuget+npm");
        foreach (TinyArchitecture architecture in DecodeTests.DecoderArchitectures)
        {
            string path = llama.PathOf(architecture);
            ChildProcess.Result npm = ChildProcess.Run(PlainEnvironment, null, "greedy", "Cpu", path, "1", "Npm");
            Assert.Equal((0, ""), (npm.ExitCode, npm.Error));
            Assert.Contains("; 0.5.0", npm.Output, StringComparison.Ordinal);
            Decoding.AssertClose(Logits(ChildProcess.Greedy(llama.Library, path, 1)), Logits(npm.Output.Split('\n')), tolerance: 0.05f);
        }
    }

    [SkippableFact]
    public void Automatic_choice_passes_over_a_software_device_and_says_so()
    {
        IReadOnlyList<VulkanDevice>? devices = GpuProbe.VulkanDevices(out _);
        Skip.If(devices is null || devices.Count == 0 || devices.Any(d => d.IsHardware), "needs a Vulkan software device and no other");
        Skip.If(GpuProbe.Cuda(out _) is not null, "this machine has a CUDA device");
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing) is null, missing);
        ChildProcess.Result result = ChildProcess.Run(PlainEnvironment, null, "greedy", "Auto", llama.PathOf(TinyArchitecture.Llama), "5");
        output.WriteLine($"{result.Output}{result.Error}");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("library Cpu", result.Output, StringComparison.Ordinal);
        Assert.Contains("only a software device", result.Output, StringComparison.Ordinal);
        Assert.Contains("no CUDA", result.Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void A_backend_that_is_not_installed_ends_with_one_line_and_exit_code_1()
    {
        Skip.If(NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Cuda, null, out _) is not null, "this build carries CUDA");
        ChildProcess.Result result = ChildProcess.Run(PlainEnvironment, null, "greedy", "Cuda", llama.PathOf(TinyArchitecture.Llama), "5");
        Assert.Equal(1, result.ExitCode);
        Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("cuda", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_second_backend_in_one_process_is_refused()
    {
        Assert.Same(llama.Library, LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Auto }, NullLogger.Instance));
        LlamaException refused = Assert.Throws<LlamaException>(() => LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Vulkan }, NullLogger.Instance));
        Assert.Contains("already runs", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_library_says_what_it_is()
    {
        Assert.Equal(LlamaBackend.Cpu, llama.Library.Backend);
        Assert.Equal(NativeSource.NuGet, llama.Library.Source);
        Assert.Equal("815a2a591 (ggml 0.18.0)", llama.Library.Version);
        Assert.StartsWith("cpu (", llama.Library.Description, StringComparison.Ordinal);
        Assert.Contains(llama.Library.Devices, d => d.Type is LlamaDeviceType.Cpu && d.TotalBytes > 0);
        // This process alone takes some of it, so all of it cannot be free.
        if (OperatingSystem.IsLinux())
            Assert.Contains(llama.Library.Devices, d => d.Type is LlamaDeviceType.Cpu && d.FreeBytes > 0 && d.FreeBytes < d.TotalBytes);
    }

    private static float[] Logits(IEnumerable<string> lines) =>
        [.. lines.First(line => line.StartsWith("logits ", StringComparison.Ordinal)).Split(' ')[1..].Select(logit => float.Parse(logit, CultureInfo.InvariantCulture))];
}
