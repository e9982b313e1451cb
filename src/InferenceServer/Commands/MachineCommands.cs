using System.Globalization;
using System.Text;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.Placement;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Commands;

/// <summary>What devices says with --json.</summary>
internal sealed record DeviceLine(string Name, string Description, string Type, long FreeBytes, long TotalBytes);

/// <summary>What a device will hold.</summary>
internal sealed record PlannedDevice(string Name, string Type, int Layers, long FreeBytes, long WeightBytes, long KvBytes, long ComputeBytes, long ReservedBytes, long MarginBytes, bool Fits);

/// <summary>One way to run a model.</summary>
/// <param name="Contexts">Whole contexts of the model that the pool holds.</param>
/// <param name="GpuLayers">As --gpu-layers would say it.</param>
/// <param name="CpuMoeLayers">As --n-cpu-moe would.</param>
/// <param name="Speed">Tokens a second of one stream, as a part of the best of all listed: by a model of memory alone.</param>
internal sealed record PlannedRun(int CtxSize, double Contexts, string CacheTypeK, string CacheTypeV, int GpuLayers, int CpuMoeLayers, IReadOnlyList<float>? TensorSplit, bool Fits, double Speed, IReadOnlyList<PlannedDevice> Devices);

/// <summary>What plan says with --json.</summary>
/// <param name="Layers">With the output layer.</param>
/// <param name="Asked">Whether llama.cpp said what computing takes; else a formula did.</param>
/// <param name="Start">What a start does.</param>
internal sealed record ModelPlan(string Model, long WeightBytes, int Layers, int ContextLength, bool Asked, PlannedRun Start, IReadOnlyList<string> Notes, IReadOnlyList<PlannedRun> Alternatives);

/// <summary>Commands about this machine: what it computes with, and what fits into it.</summary>
internal static class MachineCommands
{
    private const int BarWidth = 40;

    /// <exception cref="LibraryException">No build of llama.cpp works here.</exception>
    public static LlamaLibrary Library(LlamaBackend backend)
    {
        try
        {
            return LlamaLibrary.Load(new LlamaLibraryOptions { Backend = backend, Trial = BackendTrial.OfThisProgram() }, NullLogger.Instance);
        }
        catch (LlamaException failure)
        {
            throw new LibraryException(LibraryProblem.Folder, failure.Message, failure);
        }
    }

    public static DeviceLine Describe(LlamaDevice device) => new(device.Name, device.Description, Type(device.Type), device.FreeBytes, device.TotalBytes);

    public static void Write(TextWriter text, IReadOnlyList<DeviceLine> devices) => Table(text,
        [["DEVICE", "KIND", "FREE", "IN ALL", "WHAT IT IS"], .. devices.Select(device => (string[])[device.Name, device.Type, ByteText.Of(device.FreeBytes), ByteText.Of(device.TotalBytes), device.Description])]);

    /// <summary>Devices with so much memory, where the machine at hand has no such cards: then they are made up.</summary>
    public static IReadOnlyList<LlamaDevice> Devices(IReadOnlyList<LlamaDevice> real, IReadOnlyList<long>? cards, long? host)
    {
        IEnumerable<LlamaDevice> devices = real;
        if (cards?.Count > LlamaDevice.Gpus(real).Count)
            devices = [.. cards.Select((bytes, card) => new LlamaDevice(string.Create(CultureInfo.InvariantCulture, $"GPU{card}"), "made up", LlamaDeviceType.Gpu, bytes, bytes)), .. real.Where(device => device.Type is LlamaDeviceType.Cpu)];
        return [.. devices.Select(device => device.Type is LlamaDeviceType.Cpu && host is { } bytes ? device with { FreeBytes = bytes, TotalBytes = bytes } : device)];
    }

    /// <summary>What a start with these options does on these devices, and what others would do.</summary>
    /// <param name="options">With the path of the model.</param>
    /// <param name="name">What the operator calls it.</param>
    /// <param name="llama">Is asked what computing takes; null leaves it to a formula.</param>
    /// <exception cref="LibraryException">The file is damaged, or an option contradicts the devices.</exception>
    public static ModelPlan Plan(ModelOptions options, string name, LlamaLibrary? llama, IReadOnlyList<LlamaDevice> devices)
    {
        try
        {
            ModelFacts facts = ModelFacts.Read(options.ModelPath!, devices);
            if (llama is not null)
                facts = ModelLoader.Asked(llama, facts, ModelLoader.Plan(options, facts, devices), NullLogger.Instance);
            MemoryPlan start = ModelLoader.Plan(options, facts, devices);
            IReadOnlyList<MemoryPlan> others = MemoryPlanner.Alternatives(facts, ModelLoader.Limited(devices, options.DeviceMemory, null), ModelLoader.Request(options, facts));
            double best = others.Append(start).Where(plan => plan.Fits).Select(plan => plan.SecondsPerToken).DefaultIfEmpty(start.SecondsPerToken).Min();
            return new ModelPlan(name, facts.WeightBytes, facts.Layers.Count + 1, facts.TrainContextLength, facts.Compute is not null, Run(start, best), start.Why, [.. others.Select(plan => Run(plan, best))]);
        }
        catch (LlamaException failure)
        {
            throw new LibraryException(failure.Message.StartsWith("--", StringComparison.Ordinal) ? LibraryProblem.Invalid : LibraryProblem.BadFile, failure.Message, failure);
        }
    }

    public static void Write(TextWriter text, ModelPlan plan)
    {
        text.WriteLine($"{plan.Model}: {ByteText.Of(plan.WeightBytes)} of weights, {plan.Layers} layers with the output, trained on {plan.ContextLength} tokens");
        text.WriteLine($"A start {(plan.Start.Fits ? "takes" : "would take")} a pool of {plan.Start.CtxSize} tokens ({plan.Start.Contexts.ToString("0.##", CultureInfo.InvariantCulture)} contexts), {Layers(plan.Start, plan.Layers)}:");
        text.WriteLine();
        int width = plan.Start.Devices.Max(device => device.Name.Length);
        foreach (PlannedDevice device in plan.Start.Devices)
            text.WriteLine($"{device.Name.PadRight(width)}  {Bar(device)}  of {ByteText.Of(device.FreeBytes)}: weights {ByteText.Of(device.WeightBytes)}, KV {ByteText.Of(device.KvBytes)}, compute {ByteText.Of(device.ComputeBytes)}"
                + $"{(device.ReservedBytes > 0 ? $", other models {ByteText.Of(device.ReservedBytes)}" : "")}{(device.Fits ? "" : "; it does not fit")}");
        text.WriteLine($"{new string(' ', width)}  # weights  = KV pool  + compute{(plan.Start.Devices.Any(device => device.ReservedBytes > 0) ? "  * other models" : "")}  . free");
        text.WriteLine();
        foreach (string note in plan.Notes)
            text.WriteLine($"note: {note}");
        if (plan.Notes.Count > 0)
            text.WriteLine();
        bool hasGpu = plan.Start.Devices.Count > 1, hasExperts = plan.Alternatives.Append(plan.Start).Any(run => run.CpuMoeLayers > 0);
        Table(text, [Row("--CTX-SIZE", "KV TYPE", "GPU LAYERS", "CPU EXPERTS", "ON GPUS", "ON THE HOST", "SPEED"), .. plan.Alternatives.Select(run => Row(
            run.CtxSize.ToString(CultureInfo.InvariantCulture), run.CacheTypeK, $"{run.GpuLayers} of {plan.Layers}", $"{run.CpuMoeLayers}", ByteText.Of(run.Devices.SkipLast(1).Sum(Used)), ByteText.Of(Used(run.Devices[^1])),
            run.Fits ? $"{(run.Speed * 100).ToString("0", CultureInfo.InvariantCulture)}%" : "does not fit"))]);
        text.WriteLine();
        text.WriteLine("Speed is an estimate by memory alone, with half the context filled: a card reads 500 GB/s, an integrated GPU 80, the host 50.");
        text.WriteLine(plan.Asked ? "llama.cpp was asked what computing takes." : "What computing takes is estimated, since llama.cpp could not be asked.");

        string[] Row(string context, string type, string layers, string experts, string gpus, string host, string speed) =>
            [context, type, .. hasGpu ? (string[])[layers] : [], .. hasExperts ? (string[])[experts] : [], .. hasGpu ? (string[])[gpus] : [], host, speed];
    }

    /// <summary>Columns as wide as what they hold.</summary>
    internal static void Table(TextWriter text, string[][] rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        foreach (string[] row in rows)
            text.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
    }

    private static string Layers(PlannedRun run, int all) => run.Devices.Count == 1 ? "all of it in the host's memory"
        : $"with {run.GpuLayers} of {all} layers on the GPU{(run.Devices.Count > 2 ? "s" : "")}{(run.CpuMoeLayers > 0 ? $" and the experts of {run.CpuMoeLayers} on the CPU" : "")}";

    private static PlannedRun Run(MemoryPlan plan, double best) => new(
        plan.Context.CellCount, Math.Round(plan.Contexts, 2), TypeName(plan.Context.TypeK), TypeName(plan.Context.TypeV), plan.GpuLayers, plan.Model.CpuExpertLayers ?? 0, plan.Model.TensorSplit, plan.Fits, Math.Round(best / plan.SecondsPerToken, 3),
        [.. plan.Devices.Select(device => new PlannedDevice(device.Name, Type(device.Type), device.Layers, device.FreeBytes, device.WeightBytes, device.KvBytes, device.ComputeBytes, device.ReservedBytes, device.MarginBytes, device.Fits))]);

    private static string Bar(PlannedDevice device)
    {
        StringBuilder bar = new();
        long told = 0;
        foreach ((char sign, long bytes) in ((char, long)[])[('#', device.WeightBytes), ('=', device.KvBytes), ('+', device.ComputeBytes), ('*', device.ReservedBytes)])
        {
            told += bytes;
            bar.Append(sign, Math.Max(0, (int)Math.Min(BarWidth, Math.Round((double)told * BarWidth / Math.Max(1, device.FreeBytes))) - bar.Length));
        }

        return $"[{bar.Append('.', BarWidth - bar.Length)}]";
    }

    private static long Used(PlannedDevice device) => device.WeightBytes + device.KvBytes + device.ComputeBytes;

    private static string TypeName(KvType type) => type.ToString().ToLowerInvariant();

    private static string Type(LlamaDeviceType type) => type switch
    {
        LlamaDeviceType.Cpu => "cpu",
        LlamaDeviceType.Gpu => "gpu",
        LlamaDeviceType.IntegratedGpu => "integrated-gpu",
        LlamaDeviceType.Accelerator => "accelerator",
        _ => "several",
    };
}
