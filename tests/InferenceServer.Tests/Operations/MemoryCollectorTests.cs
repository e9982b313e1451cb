using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Tests.Api;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Operations;

/// <summary>What /metrics says of memory.</summary>
public sealed class MemoryCollectorTests
{
    private static ServedModel Model(ScriptedEngine engine) => TestHost.Served(engine) with { File = new ServedModelFile { SizeBytes = 7000 } };

    private static async Task<string[]> LinesAsync(TestHost host, string name) =>
        [.. (await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative))).Split('\n').Where(line => line.StartsWith(name, StringComparison.Ordinal))];

    [Fact]
    public async Task Weights_pools_and_the_process_are_there_and_an_unknown_pool_is_not()
    {
        await using TestHost known = await TestHost.StartAsync(Model(new ScriptedEngine { KvPoolBytes = 500 }));
        Assert.Equal(["inference_model_bytes{model=\"scripted\"} 7000"], await LinesAsync(known, "inference_model_bytes"));
        Assert.Equal(["inference_kv_pool_bytes{model=\"scripted\"} 500"], await LinesAsync(known, "inference_kv_pool_bytes"));
        Assert.True(long.Parse(Assert.Single(await LinesAsync(known, "process_resident_memory_bytes")).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) > 10_000_000);
        await using TestHost unknown = await TestHost.StartAsync(Model(new ScriptedEngine()));
        Assert.Empty(await LinesAsync(unknown, "inference_kv_pool_bytes{"));
    }

    [Fact]
    public async Task Devices_are_read_at_a_scrape_but_not_twice_a_second_and_not_once_one_has_failed()
    {
        FakeTimeProvider clock = new();
        ScriptedEngine engine = new();
        long free = 60;
        await using TestHost host = await TestHost.StartAsync(Model(engine), clock,
            devices: () => [new("CUDA0", "A GPU", LlamaDeviceType.Gpu, free--, 80), new("BLAS", "A helper", LlamaDeviceType.Accelerator, 0, 0), new("CPU", "Not counted", LlamaDeviceType.Cpu, 90, 90)]);
        Assert.Equal(["inference_device_memory_bytes{device=\"CUDA0\",state=\"free\"} 60", "inference_device_memory_bytes{device=\"CUDA0\",state=\"total\"} 80"],
            (await LinesAsync(host, "inference_device_memory_bytes")).Order(StringComparer.Ordinal));
        clock.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal(60, await FreeAsync());
        clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(59, await FreeAsync());
        engine.Failure = "llama.cpp gave up: CUDA error";
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal((59, 58), (await FreeAsync(), free));

        async Task<int> FreeAsync() => int.Parse((await LinesAsync(host, "inference_device_memory_bytes{device=\"CUDA0\",state=\"free\"}"))[0].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
