using InferenceServer.Llama;
using InferenceServer.Llama.Native;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>A GPU is taken only after it has computed, and a trial whose outcome is known is not made twice.</summary>
public sealed class BackendTrialTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-trial-").FullName;

    private string Results => Path.Combine(_folder, "kept", "trials.json");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [SkippableFact]
    public void A_device_that_gives_up_is_reported_in_the_librarys_words_and_not_tried_again_unasked()
    {
        BackendTrial trial = Scripted("echo 'llama.cpp gave up: CUDA error: the provided PTX was compiled with an unsupported toolchain. (ggml-cuda.cu:103: CUDA error); advice' >&2; echo x >>tries; exit 1");
        Assert.Equal("CUDA error: the provided PTX was compiled with an unsupported toolchain. (ggml-cuda.cu:103: CUDA error)", WhyNot(trial));
        Assert.EndsWith("(tried before; --backend cuda tries again)", WhyNot(trial), StringComparison.Ordinal);
        Assert.Equal(1, Tries);
        Assert.StartsWith("CUDA error", WhyNot(trial, again: true), StringComparison.Ordinal);
        Assert.Equal(2, Tries);
    }

    [SkippableFact]
    public void A_device_that_computes_is_tried_once_for_each_driver()
    {
        BackendTrial trial = Scripted("echo x >>tries");
        Assert.Null(WhyNot(trial));
        Assert.Null(WhyNot(trial, again: true));
        Assert.Equal(1, Tries);
        Assert.Null(WhyNot(trial, driver: "CUDA 13.1 of H200"));
        Assert.Equal(2, Tries);
    }

    [SkippableFact]
    public void A_trial_that_hangs_ends_in_time_and_is_made_again()
    {
        BackendTrial trial = Scripted("echo x >>tries; exec sleep 60", TimeSpan.FromSeconds(0.5));
        Assert.Contains("was not decoded within", WhyNot(trial), StringComparison.Ordinal);
        Assert.Contains("was not decoded within", WhyNot(trial), StringComparison.Ordinal);
        Assert.Equal(2, Tries);
    }

    [SkippableFact]
    public void A_process_that_dies_is_reported_with_its_exit_code()
    {
        BackendTrial trial = Scripted("kill -SEGV $$");
        Assert.Contains("ended with exit code 139", WhyNot(trial), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("{ not json")]
    [InlineData("[1, 2]")]
    [InlineData("")]
    public void Damaged_results_are_as_good_as_none(string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Results)!);
        File.WriteAllText(Results, content);
        BackendTrial trial = Scripted("echo x >>tries");
        Assert.Null(WhyNot(trial));
        Assert.Null(WhyNot(trial));
        Assert.Equal(1, Tries);
    }

    [Fact]
    public void A_program_that_is_not_there_is_named()
    {
        var trial = new BackendTrial([Path.Combine(_folder, "absent")], Results);
        Assert.Contains("absent could not be started", WhyNot(trial), StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Vulkan_on_this_machine_computes_a_token_in_a_process_of_its_own()
    {
        Skip.If(GpuProbe.VulkanDevices(out string? whyNot) is not { Count: > 0 }, whyNot ?? "the Vulkan drivers list no device");
        NativeBuild? build = NativeBuild.Find(AppContext.BaseDirectory, LlamaBackend.Vulkan, null, out string? missing);
        Skip.If(build is null, missing);
        var trial = new BackendTrial(ChildProcess.Program, Results);
        Assert.Null(trial.WhyNot(build, "any", again: false, NullLogger.Instance));
        Assert.Contains("Vulkan", File.ReadAllText(Results), StringComparison.Ordinal);
    }

    private int Tries => File.ReadAllLines(Path.Combine(_folder, "tries")).Length;

    private BackendTrial Scripted(string script, TimeSpan? limit = null)
    {
        Skip.If(OperatingSystem.IsWindows(), "needs a shell");
        return new BackendTrial(["/bin/sh", "-c", $"cd '{_folder}'; {script}"], Results, limit);
    }

    private string? WhyNot(BackendTrial trial, bool again = false, string driver = "CUDA 13.0 of H200") =>
        trial.WhyNot(new NativeBuild(LlamaBackend.Cuda, NativeSource.Npm, _folder, _folder), driver, again, NullLogger.Instance);
}
