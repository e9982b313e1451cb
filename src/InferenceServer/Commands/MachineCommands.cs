using System.Globalization;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Operations;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Commands;

/// <summary>What devices says with --json.</summary>
internal sealed record DeviceLine(string Name, string Description, string Type, long FreeBytes, long TotalBytes);

/// <summary>A KV pool of one type.</summary>
/// <param name="Tokens">That fit beside the weights.</param>
/// <param name="Contexts">How many whole contexts of the model these are.</param>
internal sealed record PlannedPool(string CacheType, long BytesPerToken, long Tokens, double Contexts);

/// <summary>What plan says with --json.</summary>
/// <param name="GpuLayers">Layers that fit onto the GPUs; null where there are none.</param>
internal sealed record ModelPlan(string Model, long WeightBytes, long Layers, long ContextLength, long FreeBytes, bool OnGpu, long? GpuLayers, IReadOnlyList<PlannedPool> Pools, string Verdict);

/// <summary>Commands about this machine: what it computes with, and what fits into it.</summary>
internal static class MachineCommands
{
    // As at a start: the rest is for what the model computes in and for whoever else uses the memory.
    private const double WeightsAndMore = 1.1, DeviceShare = 0.9;

    private static readonly (string Name, KvType Type)[] CacheTypes = [("f32", KvType.F32), ("f16", KvType.F16), ("q8_0", KvType.Q8_0), ("q4_0", KvType.Q4_0)];

    /// <exception cref="LibraryException">No build of llama.cpp works here.</exception>
    public static IReadOnlyList<LlamaDevice> Devices()
    {
        try
        {
            return LlamaLibrary.Load(new LlamaLibraryOptions { Trial = BackendTrial.OfThisProgram() }, NullLogger.Instance).Devices;
        }
        catch (LlamaException failure)
        {
            throw new LibraryException(LibraryProblem.Folder, failure.Message, failure);
        }
    }

    public static DeviceLine Describe(LlamaDevice device) => new(device.Name, device.Description, device.Type switch
    {
        LlamaDeviceType.Cpu => "cpu",
        LlamaDeviceType.Gpu => "gpu",
        LlamaDeviceType.IntegratedGpu => "integrated-gpu",
        LlamaDeviceType.Accelerator => "accelerator",
        _ => "several",
    }, device.FreeBytes, device.TotalBytes);

    public static void Write(TextWriter text, IReadOnlyList<DeviceLine> devices) => Table(text,
        [["DEVICE", "KIND", "FREE", "IN ALL", "WHAT IT IS"], .. devices.Select(device => (string[])[device.Name, device.Type, ByteText.Of(device.FreeBytes), ByteText.Of(device.TotalBytes), device.Description])]);

    /// <param name="model">A path, or a name of the library.</param>
    /// <exception cref="LibraryException">There is no such model, or its file is damaged.</exception>
    public static ModelPlan Plan(string model, ModelLibrary library, IReadOnlyList<LlamaDevice> devices)
    {
        (GgufFile header, long weights) = Read(model, library);
        bool onGpu = devices.Any(device => device.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu);
        long free = FreeMemory.Of(devices);
        long layers = header.Hyper("block_count") ?? 0, context = header.Hyper("context_length") ?? 0;
        long left = (long)(free * DeviceShare) - (long)(weights * WeightsAndMore);
        PlannedPool[] pools = [.. CacheTypes.Select(cache =>
        {
            long bytes = LlamaModel.KvBytesPerToken(header, cache.Type, cache.Type);
            long tokens = bytes > 0 ? Math.Max(left, 0) / bytes : 0;
            return new PlannedPool(cache.Name, bytes, tokens, context > 0 ? Math.Round((double)tokens / context, 2) : 0);
        })];
        long? gpuLayers = !onGpu ? null : left >= 0 ? layers + 1 : Math.Clamp((long)(layers * free * DeviceShare / Math.Max(weights * WeightsAndMore, 1)), 0, layers);
        string verdict = left < 0
            ? onGpu ? $"The weights do not fit onto the GPUs: {gpuLayers} of {layers} layers do, and the others are computed by the CPU. A smaller quantization is faster."
                : "The weights do not fit into memory. Take a smaller quantization, or a smaller model."
            : pools[1].Contexts >= 1 ? "It fits with its whole context."
            : pools.FirstOrDefault(pool => pool.Contexts >= 1) is { } smaller ? $"Its whole context fits with --cache-type-k {smaller.CacheType} --cache-type-v {smaller.CacheType}."
            : $"It fits with a context of {pools[1].Tokens} tokens: give --ctx-size, or take a smaller quantization.";
        return new ModelPlan(model, weights, layers, context, free, onGpu, gpuLayers, pools, verdict);
    }

    public static void Write(TextWriter text, ModelPlan plan)
    {
        text.WriteLine($"{plan.Model}: {ByteText.Of(plan.WeightBytes)} of weights, {plan.Layers} layers, trained on {plan.ContextLength} tokens");
        text.WriteLine($"memory: {ByteText.Of(plan.FreeBytes)} are free {(plan.OnGpu ? "on the GPUs" : "on this machine, which has no GPU that llama.cpp can use")}");
        text.WriteLine();
        Table(text, [["CACHE TYPE", "A TOKEN", "TOKENS THAT FIT", "WHOLE CONTEXTS"], .. plan.Pools.Select(pool => (string[])[pool.CacheType, ByteText.Of(pool.BytesPerToken),
            pool.Tokens.ToString(CultureInfo.InvariantCulture), pool.Contexts.ToString("0.##", CultureInfo.InvariantCulture)])]);
        text.WriteLine();
        text.WriteLine(plan.Verdict);
    }

    private static (GgufFile Header, long WeightBytes) Read(string model, ModelLibrary library)
    {
        if (ModelReference.Parse(model) is FileReference file)
        {
            try
            {
                return (GgufReader.Read(file.Path), new FileInfo(file.Path).Length);
            }
            catch (Exception failure) when (failure is GgufException or IOException or UnauthorizedAccessException)
            {
                throw new LibraryException(LibraryProblem.BadFile, failure.Message, failure);
            }
        }

        ModelManifest manifest = library.Show(model);
        return (library.ReadHeader(manifest), manifest.SizeBytes);
    }

    /// <summary>Columns as wide as what they hold.</summary>
    internal static void Table(TextWriter text, string[][] rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        foreach (string[] row in rows)
            text.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
    }
}
