// What llama.cpp itself says a model would take: it is loaded without its weights, and a context is made without its memory. What that logs is read, since
// the function that returns it (llama_get_memory_breakdown) has a C++ map for a result. The builds are pinned, and a test reads the lines of both.
using System.Globalization;
using System.Text.RegularExpressions;

using InferenceServer.Llama.Native;

using LLama.Native;

namespace InferenceServer.Llama.Placement;

/// <summary>Asks llama.cpp instead of a formula.</summary>
public static partial class MemoryProbe
{
    private const double Mebibyte = 1 << 20;

    /// <summary>
    /// What is known of a model, with what llama.cpp says of a plan in the place of what the header lets expect. It costs reading the header and the vocabulary, and
    /// takes no memory to speak of.
    /// </summary>
    /// <param name="plan">For which context, and with which layers where.</param>
    /// <exception cref="LlamaException">llama.cpp cannot run the model, or the context.</exception>
    public static ModelFacts Ask(LlamaLibrary library, ModelFacts facts, MemoryPlan plan)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentNullException.ThrowIfNull(facts);
        ArgumentNullException.ThrowIfNull(plan);
        // GPUs that are made up, llama.cpp cannot be asked of.
        LlamaModelOptions model = plan.Gpus.Any() && plan.Gpus.All(gpu => library.Gpus.Any(real => real.Name == gpu.Name)) ? plan.Model : new LlamaModelOptions { GpuLayers = 0 };
        using SafeLlamaModelHandle handle = LlamaModel.LoadNative(library, facts.Path, model, allocates: false, null, CancellationToken.None);
        // States of sequences are allocated all the same (llama_memory_recurrent): one says as much of the rest as many.
        LlamaContextOptions context = facts.MemoryKind is MemoryKind.Recurrent or MemoryKind.Hybrid ? plan.Context with { MaxSequences = 1 } : plan.Context;
        int cells = Math.Max(context.CellCount, 512);
        Answer whole = Ask(handle, facts, context with { CellCount = cells }), half = Ask(handle, facts, context with { CellCount = cells / 2 });
        (ComputeLine device, ComputeLine host) = (new(half.Device, whole.Device, cells), new(half.Host, whole.Host, cells));
        long expected = facts.KvBytes(cells, context with { CellCount = cells }) - (facts.Layers.Sum(layer => layer.StateBytes) * context.MaxSequences);
        return facts with
        {
            // With no layer on a GPU, what the host computes in is what a GPU would.
            Compute = whole.Device > 0 ? new ComputeCost(device.Fixed - More(0), device.PerCell - ((More(cells) - More(0)) / (double)cells), host.Fixed, host.PerCell)
                : new ComputeCost(host.Fixed, host.PerCell, facts.ComputeOf(context).HostBytes, facts.ComputeOf(context).HostBytesPerCell),
            KvFactor = expected > 0 && whole.Cache > 0 ? facts.KvFactor * whole.Cache / expected : facts.KvFactor,
        };

        // A plan that is not pipelined does without, and the planner adds it to one that is.
        long More(int at) => plan.IsPipelined ? facts.PipelineBytes(at, context) : 0;
    }

    private static Answer Ask(SafeLlamaModelHandle model, ModelFacts facts, LlamaContextOptions options)
    {
        int[] abortFlag = GC.AllocateArray<int>(1, pinned: true);
        LLamaContextParams parameters = LlamaContext.Parameters(options, options.Embeddings || facts.IsBidirectional, abortFlag);
        NativeLog.ClearError();
        List<string> lines = NativeLog.LinesOf(() =>
        {
            SafeLLamaContextHandle handle = SafeLLamaContextHandle.Create(model, parameters);
            if (!handle.IsInvalid)
            {
                handle.Dispose();
                return;
            }

            model.DangerousRelease(); // LLamaSharp counted a reference for a context that never was, and never gives it back.
            string reason = NativeLog.LastError ?? "it gave no reason";
            throw new LlamaException($"llama.cpp cannot plan a context of {options.CellCount} cells: {reason}") { IsOutOfMemory = NativeFailure.IsOfMemory(reason) };
        });
        GC.KeepAlive(abortFlag);
        return Read(lines);
    }

    /// <summary>Reads what making a context logged.</summary>
    internal static Answer Read(IEnumerable<string> lines)
    {
        long device = 0, host = 0, cache = 0;
        foreach (string line in lines)
        {
            if (ComputeLinePattern().Match(line) is { Success: true } compute)
            {
                long bytes = Bytes(compute.Groups[2]);
                // Buffers that the host and a device share count for the host: CUDA_Host, Vulkan_Host.
                if (compute.Groups[1].Value is "CPU" || compute.Groups[1].Value.EndsWith("_Host", StringComparison.Ordinal))
                    host += bytes;
                else
                    device = Math.Max(device, bytes);
            }
            else if (CacheLinePattern().Match(line) is { Success: true } kept)
            {
                cache += Bytes(kept.Groups[1]);
            }
        }

        return new Answer(device, host, cache);
    }

    private static long Bytes(Group mebibytes) => (long)(double.Parse(mebibytes.ValueSpan, CultureInfo.InvariantCulture) * Mebibyte);

    // llama_context::sched_reserve
    [GeneratedRegex(@"(\S+) compute buffer size = *([\d.]+) MiB")]
    private static partial Regex ComputeLinePattern();

    // llama_kv_cache's constructor
    [GeneratedRegex(@"llama_kv_cache: size = *([\d.]+) MiB \( *\d+ cells")]
    private static partial Regex CacheLinePattern();

    /// <summary>Bytes of the largest compute buffer of a GPU, of those of the host, and of the KV caches.</summary>
    internal readonly record struct Answer(long Device, long Host, long Cache);

    /// <summary>The line through what half the cells and all of them took.</summary>
    private readonly struct ComputeLine(long half, long whole, int cells)
    {
        public double PerCell { get; } = Math.Max(0, (whole - half) / (cells - (cells / 2.0)));

        public long Fixed => Math.Max(0, whole - (long)(PerCell * cells));
    }
}
