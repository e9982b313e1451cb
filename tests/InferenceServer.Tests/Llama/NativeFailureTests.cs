using InferenceServer.Llama.Native;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>When llama.cpp gives up the reason arrives, with advice that fits it.</summary>
public sealed class NativeFailureTests
{
    [Theory]
    [InlineData("CUDA error: the provided PTX was compiled with an unsupported toolchain.", "update the device's driver, or choose another --backend")]
    [InlineData("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory", "lower --gpu-layers or --ctx-size")]
    [InlineData("vk::Queue::submit: ErrorDeviceLost", "update the device's driver, or choose another --backend")]
    [InlineData("error loading model: unknown model architecture: 'x'", "choose another --model")]
    public void Another_model_is_advised_only_where_the_model_is_the_cause(string error, string advice) =>
        Assert.Equal(advice, NativeFailure.Advice(error));

    [Fact]
    public void A_device_that_fails_before_anyone_is_served_ends_the_process_with_one_line_that_blames_no_model()
    {
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?>(), null, "abort", "CUDA error: an illegal memory access was encountered");
        Assert.Equal(1, result.ExitCode);
        string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(
            "llama.cpp gave up: CUDA error: an illegal memory access was encountered (ggml-test.cu:103: device error); update the device's driver, or choose another --backend", line);
    }
}
