// Which parts of a model go where. Pure: facts, devices and wishes in, a plan out; so it is tried with machines that nobody has.
using System.Globalization;

namespace InferenceServer.Llama.Placement;

/// <summary>
/// Plans a model into the memory that is free. What is not fixed gives way in this order: contexts beyond the first, the context down to <see cref="LeastCells"/>
/// tokens, experts (which the CPU computes at the least cost), layers.
/// </summary>
/// <remarks>
/// Speed is compared by memory alone: a token reads all weights that compute it, and the keys and values before it, each from where it lies. A card's memory is
/// taken to give 500 GB/s, that of an integrated GPU 80, the host's 50. Real cards give 200 to 3,000, and prompts are bound by arithmetic instead; so it is an
/// estimate that ranks plans of one machine, and no forecast.
/// </remarks>
public static class MemoryPlanner
{
    /// <summary>A context that is worth having: what does not leave room for one is too much on the GPU.</summary>
    public const int LeastCells = 8192;

    private const int CellAlignment = 256;
    private const double CardBytesPerSecond = 500e9, IntegratedBytesPerSecond = 80e9, HostBytesPerSecond = 50e9;

    // Left free for the driver, for scratch memory of kernels and for whoever else uses the device: a tenth, at most what llama.cpp's own fit leaves (common/fit.cpp).
    private const long MostMargin = 1L << 30;
    private const int MarginShare = 10;

    // Contexts beyond the first take this part of what is left, since tokens drawn on the device need room, too (docs/gpu.md).
    private const double PoolShare = 0.75;

    // In host memory the pool takes at most this part of all, and no more than so many tokens: attention there grows slower with every token that lies in the pool.
    private const int HostShare = 4;
    private const int HostCellLimit = 65_536;

    // Weights, and what they are computed in, of a model whose memory is limited as a whole.
    private const double WeightsAndMore = 1.1;

    /// <summary>The plan. One that does not fit is returned, too, when what was fixed leaves no other: <see cref="MemoryPlan.Fits"/>.</summary>
    /// <param name="devices">All of the machine, or of one that is made up; with the host among them.</param>
    /// <exception cref="LlamaException">A wish contradicts the devices; the message names the option.</exception>
    public static MemoryPlan Plan(ModelFacts facts, IReadOnlyList<LlamaDevice> devices, PlanRequest request)
    {
        Check(devices, request.Model);
        Layout layout = new(facts, devices, request);
        int all = facts.Layers.Count + 1, expertLayers = facts.Layers.Count;
        int whole = Math.Min(request.Cells ?? facts.TrainContextLength, facts.TrainContextLength), least = request.Cells ?? Math.Min(facts.TrainContextLength, LeastCells);
        long most = request.Cells ?? (long)facts.TrainContextLength * Math.Max(1, request.Contexts);
        int wanted = layout.HasGpu ? Math.Min(request.Model.GpuLayers ?? all, all) : 0;
        if (wanted == 0)
            return layout.Plan(0, 0, request.Cells ?? layout.HostCells());
        int fewestExperts = Math.Min(request.Model.CpuExpertLayers ?? 0, expertLayers), mostExperts = request.Model.CpuExpertLayers is null && facts.ExpertLayers > 0 ? expertLayers : fewestExperts;

        // Everything on the GPUs, with all contexts or one of them or a shorter one.
        if (layout.MostCells(wanted, fewestExperts, most, 1) is var cells && cells >= least)
            return layout.Plan(wanted, fewestExperts, cells < whole || request.Cells is not null ? cells : Math.Max(Math.Min(whole, cells), layout.MostCells(wanted, fewestExperts, most, PoolShare)));
        // Experts first: of a mixture a token reads a part of them only.
        for (int experts = fewestExperts + 1; experts <= mostExperts; experts++)
            if (facts.Layers[experts - 1].ExpertBytes > 0 && layout.Fits(wanted, experts, least))
                return layout.Plan(wanted, experts, layout.MostCells(wanted, experts, Math.Min(most, Math.Max(whole, least)), 1));
        if (request.Model.GpuLayers is not null)
            return layout.Plan(wanted, mostExperts, Math.Max(layout.MostCells(wanted, mostExperts, most, 1), request.Cells ?? CellAlignment));
        int layers = wanted - 1;
        while (layers > 0 && !layout.Fits(layers, mostExperts, least))
            layers--;
        return layers == 0
            ? layout.Plan(0, 0, request.Cells ?? layout.HostCells())
            : layout.Plan(layers, mostExperts, layout.MostCells(layers, mostExperts, Math.Min(most, Math.Max(whole, least)), 1));
    }

    /// <summary>What other contexts and KV types would come to, each at its best: the longest context first, and of one the largest type.</summary>
    public static IReadOnlyList<MemoryPlan> Alternatives(ModelFacts facts, IReadOnlyList<LlamaDevice> devices, PlanRequest request)
    {
        const int MostContexts = 4, Shortest = 2048;
        KvType[] types = [KvType.F16, KvType.Q8_0, KvType.Q4_0];
        List<int> contexts = [facts.TrainContextLength];
        while (contexts.Count < MostContexts && contexts[^1] / 4 >= Shortest)
            contexts.Add(contexts[^1] / 4);
        if (request.Cells is { } fixedCells && !contexts.Contains(fixedCells))
            contexts.Add(fixedCells);
        return [.. from cells in contexts.Order().Reverse() from type in types select Plan(facts, devices, request with { Cells = cells, Context = request.Context with { TypeK = type, TypeV = type } })];
    }

    /// <summary>What a pool in host memory may take beside what is reserved for others; a quarter of the budget is left to it whatever else is loaded.</summary>
    public static long PoolBudget(long budget, long reserved) => Math.Max(budget / 4, budget - reserved);

    /// <summary>Memory that has to be free for a model to get so much of it.</summary>
    internal static long FreeFor(long bytes) => bytes + Math.Min(bytes / (MarginShare - 1), MostMargin);

    private static void Check(IReadOnlyList<LlamaDevice> devices, LlamaModelOptions options)
    {
        int gpus = LlamaDevice.Gpus(devices).Count;
        string machine = gpus == 1 ? "there is one GPU" : $"there are {gpus} GPUs";
        if (options.GpuLayers is < 0)
            throw new LlamaException($"--gpu-layers {options.GpuLayers} is negative: give auto or 0 and more");
        if (options.CpuExpertLayers is < 0)
            throw new LlamaException($"--n-cpu-moe {options.CpuExpertLayers} is negative: give 0 and more");
        if (gpus == 0)
            return; // Nothing is split then, and the same options may serve several machines.
        if (options.MainGpu < 0 || options.MainGpu >= gpus)
            throw new LlamaException($"--main-gpu {options.MainGpu} does not exist: {machine}, and the first is 0");
        if (options.TensorSplit is { } split && (split.Count > gpus || split.Any(share => !float.IsFinite(share) || share < 0) || split.Sum() <= 0))
            throw new LlamaException($"--tensor-split {string.Join(',', split.Select(share => share.ToString(CultureInfo.InvariantCulture)))} does not fit: {machine}; give each its share, 0 or more, and not all 0");
    }

    /// <summary>One problem with what does not change while its solution is looked for.</summary>
    private sealed class Layout
    {
        private readonly ModelFacts _facts;
        private readonly PlanRequest _request;
        private readonly IReadOnlyList<LlamaDevice> _gpus;
        private readonly LlamaDevice _host;
        private readonly ComputeCost _compute;
        private readonly int _main;

        public Layout(ModelFacts facts, IReadOnlyList<LlamaDevice> devices, PlanRequest request)
        {
            (_facts, _request) = (facts, request);
            IReadOnlyList<LlamaDevice> gpus = LlamaDevice.Gpus(devices);
            _gpus = request.Model.SplitMode is SplitMode.None && gpus.Count > 0 ? [gpus[request.Model.MainGpu]] : gpus;
            _main = request.Model.SplitMode is SplitMode.None ? 0 : request.Model.MainGpu;
            _host = devices.FirstOrDefault(device => device.Type is LlamaDeviceType.Cpu) ?? throw new ArgumentException("no host among the devices", nameof(devices));
            _compute = facts.ComputeOf(request.Context);
        }

        public bool HasGpu => _gpus.Count > 0;

        private bool IsSplitByRows => _request.Model.SplitMode is SplitMode.Row && _gpus.Count > 1;

        /// <summary>The largest pool that fits, in whole blocks up to a limit; 0 when none does.</summary>
        /// <param name="share">Of what the weights leave free on each GPU, the part that the pool may take.</param>
        public int MostCells(int layers, int experts, long limit, double share)
        {
            if (_request.Cells is { } cells)
                return Fits(layers, experts, cells, share) ? cells : 0;
            if (limit < CellAlignment || Fits(layers, experts, limit, share))
                return Fits(layers, experts, limit, share) ? (int)Math.Min(limit, int.MaxValue / 2) : 0;
            long low = 0, high = limit / CellAlignment; // The largest number of blocks that fits lies in [low, high).
            while (high - low > 1)
            {
                long middle = (low + high) / 2;
                (low, high) = Fits(layers, experts, middle * CellAlignment, share) ? (middle, high) : (low, middle);
            }

            return (int)Math.Min(low * CellAlignment, int.MaxValue / 2);
        }

        public bool Fits(int layers, int experts, long cells, double share = 1) =>
            Split(layers, experts, cells, share) is not null && WithinLimit(cells) && HostFits(layers, cells);

        /// <summary>The default pool in host memory.</summary>
        public int HostCells()
        {
            long budget = _host.TotalBytes / HostShare;
            if (_request.MemoryLimit is { } limit)
                budget = Math.Min(budget, limit - (long)(_facts.WeightBytes * WeightsAndMore));
            budget = PoolBudget(budget, _request.ReservedBytes);
            int train = _facts.TrainContextLength;
            long wanted = Math.Max(train, Math.Min((long)train * _request.Contexts, HostCellLimit));
            long low = 1, high = (wanted / CellAlignment) + 1; // In [low, high), and one block whatever is free.
            if (Kv(wanted) <= budget || Kv(wanted) == Kv(CellAlignment)) // A model of states only has the same memory with any pool.
                return (int)Math.Min(wanted, int.MaxValue / 2);
            while (high - low > 1)
            {
                long middle = (low + high) / 2;
                (low, high) = Kv(middle * CellAlignment) <= budget ? (middle, high) : (low, middle);
            }

            return (int)(low * CellAlignment);
        }

        public MemoryPlan Plan(int layers, int experts, int cells)
        {
            // What does not fit is shown as it would lie, by free memory.
            int[] counts = layers == 0 ? new int[_gpus.Count] : Split(layers, experts, cells, 1) ?? ByShares(_request.Model.TensorSplit ?? [.. _gpus.Select(gpu => (float)gpu.FreeBytes)], layers);
            (DevicePlan[] devices, double seconds) = Devices(layers, experts, cells, counts);
            LlamaModelOptions model = _request.Model with
            {
                GpuLayers = layers,
                CpuExpertLayers = layers > 0 && _facts.ExpertLayers > 0 ? experts : 0,
                TensorSplit = _gpus.Count > 1 && layers > 0 ? [.. IsSplitByRows ? RowShares() : counts.Select(count => (float)count)] : null,
            };
            LlamaContextOptions context = _request.Context with { CellCount = cells };
            return new MemoryPlan(model, context, devices, _facts.Layers.Count + 1, (double)cells / _facts.TrainContextLength, [.. Why(layers, experts, cells, devices)], seconds);
        }

        private (DevicePlan[] Devices, double Seconds) Devices(int layers, int experts, int cells, int[] counts)
        {
            int first = _facts.Layers.Count + 1 - layers;
            double seconds = 0;
            long hostWeights = _facts.InputBytes, hostKv = 0, hostRead = 0;
            var weights = new long[_gpus.Count];
            var kv = new long[_gpus.Count];
            var read = new long[_gpus.Count];
            int gpu = 0, left = _gpus.Count > 0 ? counts[0] : 0;
            float[] rows = RowShares();
            for (int layer = 0; layer <= _facts.Layers.Count; layer++)
            {
                bool isOutput = layer == _facts.Layers.Count;
                LayerFacts facts = isOutput ? default : _facts.Layers[layer];
                long own = isOutput ? _facts.OutputBytes : facts.WeightBytes - facts.ExpertBytes, cache = isOutput ? 0 : _facts.KvBytes(layer, cells, _request.Context);
                long past = isOutput ? 0 : _facts.KvBytes(layer, Math.Min(cells, _facts.TrainContextLength) / 2, _request.Context with { MaxSequences = 1 });
                long active = (long)(facts.ExpertBytes * _facts.ActiveExpertShare);
                if (layer < first)
                {
                    hostWeights += own + facts.ExpertBytes - (isOutput ? _facts.TiedBytes : 0);
                    hostKv += cache;
                    hostRead += own + active + past;
                    continue;
                }

                while (left == 0)
                    left = counts[++gpu];
                left--;
                if (layer < experts)
                {
                    hostWeights += facts.ExpertBytes;
                    hostRead += active;
                    active = 0;
                }
                else
                {
                    own += facts.ExpertBytes;
                    active -= facts.ExpertBytes;
                }

                for (int each = 0; each < _gpus.Count; each++)
                {
                    double part = IsSplitByRows ? rows[each] : each == gpu ? 1 : 0;
                    weights[each] += (long)(own * part);
                    read[each] += (long)((own + active) * part);
                }

                (IsSplitByRows ? ref kv[_main] : ref kv[gpu]) += _request.Context.OffloadKv ? cache : 0;
                (IsSplitByRows ? ref read[_main] : ref read[gpu]) += past;
                hostKv += _request.Context.OffloadKv ? 0 : cache;
            }

            List<DevicePlan> devices = [];
            for (int each = 0; each < _gpus.Count; each++)
            {
                bool isUsed = weights[each] + kv[each] > 0;
                seconds += read[each] / (_gpus[each].Type is LlamaDeviceType.Gpu ? CardBytesPerSecond : IntegratedBytesPerSecond);
                devices.Add(new DevicePlan(_gpus[each].Name, _gpus[each].Type, _gpus[each].FreeBytes, _gpus[each].TotalBytes, IsSplitByRows ? (isUsed ? layers : 0) : counts[each], weights[each], kv[each],
                    isUsed ? DeviceCompute(layers, experts, cells) : 0, layers > 0 && each == _main ? _request.ReservedBytes : 0, Margin(_gpus[each])));
            }

            seconds += hostRead / HostBytesPerSecond;
            devices.Add(new DevicePlan(_host.Name, _host.Type, _host.FreeBytes, _host.TotalBytes, first, hostWeights, hostKv, HostCompute(layers, cells), layers > 0 ? 0 : _request.ReservedBytes, Margin(_host)));
            return ([.. devices], seconds);
        }

        private IEnumerable<string> Why(int layers, int experts, int cells, DevicePlan[] devices)
        {
            int all = _facts.Layers.Count + 1, train = _facts.TrainContextLength;
            string[] lacking = [.. devices.Where(device => !device.Fits).Select(device => device.Name)];
            if (lacking.Length > 0)
                yield return $"this does not fit into the free memory of {string.Join(" and ", lacking)}";
            if (HasGpu && _request.Model.GpuLayers is null && layers == 0)
                yield return "no layer fits onto a GPU beside what it is computed in: the CPU computes all";
            else if (HasGpu && _request.Model.GpuLayers is null && layers < all)
                yield return $"{layers} of {all} layers are on the GPU and the CPU computes the others: more do not fit beside a pool of {cells} tokens";
            if (layers > 0 && experts > 0 && _facts.ExpertLayers > 0 && _request.Model.CpuExpertLayers is null)
                yield return string.Create(CultureInfo.InvariantCulture, $"the experts of the first {experts} layers stay on the CPU, where a token reads {_facts.ActiveExpertShare * 100:0.#}% of them: more do not fit onto the GPU");
            if (_request.Cells is null && cells < train)
                yield return $"the model's context is {train} tokens, but only {cells} fit{(layers > 0 ? " onto the GPU" : "")}; raise it with --ctx-size, or take smaller --cache-type-k and --cache-type-v";
        }

        /// <summary>Layers of each GPU; null when they do not fit.</summary>
        private int[]? Split(int layers, int experts, long cells, double share)
        {
            if (layers == 0)
                return new int[_gpus.Count];
            double[] room = [.. _gpus.Select((gpu, each) => (double)(gpu.FreeBytes - Margin(gpu) - DeviceCompute(layers, experts, cells) - (each == _main ? _request.ReservedBytes : 0)))];
            int first = _facts.Layers.Count + 1 - layers;
            double[] needs = [.. Enumerable.Range(first, layers).Select(layer => Need(layer, experts, cells, share))];
            if (IsSplitByRows)
            {
                double kv = _request.Context.OffloadKv ? Enumerable.Range(first, layers - 1).Sum(layer => _facts.KvBytes(layer, cells, _request.Context)) / share : 0;
                double matrices = needs.Sum() - kv;
                float[] rows = RowShares();
                return Enumerable.Range(0, _gpus.Count).All(each => (matrices * rows[each]) + (each == _main ? kv : 0) <= room[each]) ? ByShares(rows, layers) : null;
            }

            if (_request.Model.TensorSplit is { } wanted && _gpus.Count > 1)
            {
                int[] counts = ByShares(wanted, layers);
                for (int each = 0, at = 0; each < counts.Length; at += counts[each++])
                    if (counts[each] > 0 && needs.AsSpan(at, counts[each]).ToArray().Sum() > room[each])
                        return null;
                return counts;
            }

            return Balanced(needs, room);
        }

        /// <summary>Consecutive layers for each GPU, so that all are about as full: the least fullness at which they find room.</summary>
        private static int[]? Balanced(double[] needs, double[] room)
        {
            int[]? best = Filled(needs, room, 1);
            const int Steps = 20;
            double low = 0, high = 1;
            for (int step = 0; best is not null && room.Length > 1 && step < Steps; step++)
            {
                double middle = (low + high) / 2;
                if (Filled(needs, room, middle) is { } fuller)
                    (best, high) = (fuller, middle);
                else
                    low = middle;
            }

            return best;
        }

        private static int[]? Filled(double[] needs, double[] room, double fullness)
        {
            var counts = new int[room.Length];
            int layer = 0;
            for (int each = 0; each < room.Length; each++)
                for (double left = room[each] * fullness; layer < needs.Length && needs[layer] <= left; layer++, counts[each]++)
                    left -= needs[layer];
            return layer == needs.Length ? counts : null;
        }

        /// <summary>As llama.cpp assigns layers to shares (llama_model_base::load_tensors).</summary>
        private int[] ByShares(IReadOnlyList<float> shares, int layers)
        {
            var counts = new int[_gpus.Count];
            float sum = 0;
            float[] ends = [.. Enumerable.Range(0, _gpus.Count).Select(each => sum += each < shares.Count ? shares[each] : 0)];
            for (int layer = 0; layer < layers; layer++)
            {
                int gpu = Array.FindIndex(ends, end => end / sum > (float)layer / layers);
                counts[gpu < 0 ? counts.Length - 1 : gpu]++;
            }

            return counts;
        }

        /// <summary>Each GPU's part of every matrix.</summary>
        private float[] RowShares()
        {
            float[] shares = [.. _gpus.Select((gpu, each) => _request.Model.TensorSplit is { } wanted ? each < wanted.Count ? wanted[each] : 0 : Math.Max(0, gpu.FreeBytes - Margin(gpu)))];
            float sum = shares.Sum();
            return [.. shares.Select(share => sum > 0 ? share / sum : 1f / shares.Length)];
        }

        private double Need(int layer, int experts, long cells, double share)
        {
            if (layer == _facts.Layers.Count)
                return _facts.OutputBytes;
            LayerFacts facts = _facts.Layers[layer];
            return facts.WeightBytes - (layer < experts ? facts.ExpertBytes : 0) + (_request.Context.OffloadKv ? _facts.KvBytes(layer, cells, _request.Context) / share : 0);
        }

        private bool WithinLimit(long cells) => _request.MemoryLimit is not { } limit || Kv(cells) <= Math.Max(0, limit - (long)(_facts.WeightBytes * WeightsAndMore));

        /// <summary>The host's part of the pool keeps to its share, as a pool of the host alone does.</summary>
        private bool HostFits(int layers, long cells)
        {
            int own = _request.Context.OffloadKv ? Math.Max(0, _facts.Layers.Count + 1 - layers) : _facts.Layers.Count;
            return own == 0 || _request.Cells is not null || Enumerable.Range(0, Math.Min(own, _facts.Layers.Count)).Sum(layer => _facts.KvBytes(layer, cells, _request.Context)) <= _host.TotalBytes / HostShare;
        }

        private long Kv(long cells) => _facts.KvBytes(cells, _request.Context);

        private long DeviceCompute(long cells) => _compute.DeviceBytes + (long)(_compute.DeviceBytesPerCell * cells);

        private long DeviceCompute(int layers, int experts, long cells)
        {
            bool isPipelined = _gpus.Count > 1 && layers > _facts.Layers.Count && _request.Model.SplitMode is SplitMode.Layer && _request.Context.OffloadKv && (experts == 0 || _facts.ExpertLayers == 0);
            return DeviceCompute(cells) + (isPipelined ? _facts.PipelineBytes(cells, _request.Context) : 0);
        }

        /// <summary>Beside layers of its own the host computes as a device does.</summary>
        private long HostCompute(int layers, long cells) => layers > _facts.Layers.Count ? _compute.HostBytes + (long)(_compute.HostBytesPerCell * cells) : DeviceCompute(cells);

        private static long Margin(LlamaDevice device) => Math.Min(device.FreeBytes / MarginShare, MostMargin);
    }
}
