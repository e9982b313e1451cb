namespace InferenceServer.Llama.Placement;

/// <summary>What becomes of a plan when the machine has less room than it said: others take memory meanwhile, and drivers keep some.</summary>
public static class PlacementTries
{
    // Of what the first plan took of each GPU: four more loads at most, the last without a GPU.
    private static readonly double[] Shares = [0.9, 0.7, 0.4, 0];

    /// <summary>Loads by a plan, and while memory is wanting by smaller ones.</summary>
    /// <param name="plan">The plan within limits of some devices' free memory, by their names.</param>
    /// <param name="load">Loads by a plan; when it throws for want of memory, nothing is left of it.</param>
    /// <param name="tell">Told in one line of each plan that failed, and what is tried next.</param>
    /// <exception cref="LlamaException">The last failure, or the first where nothing smaller is to be planned.</exception>
    public static T Run<T>(Func<IReadOnlyDictionary<string, long>, MemoryPlan> plan, Func<MemoryPlan, T> load, Action<string> tell)
    {
        MemoryPlan first = plan(new Dictionary<string, long>()), current = first;
        for (int next = 0; ;)
        {
            try
            {
                return load(current);
            }
            catch (LlamaException failure) when (failure.IsOutOfMemory && current.GpuLayers > 0)
            {
                if (Smaller(plan, first, current, ref next) is not { } smaller)
                    throw;
                tell($"{failure.Message.Split(';')[0]}: next try with {Text(smaller)} instead of {Text(current)}");
                current = smaller;
            }
        }
    }

    private static MemoryPlan? Smaller(Func<IReadOnlyDictionary<string, long>, MemoryPlan> plan, MemoryPlan first, MemoryPlan current, ref int next)
    {
        while (next < Shares.Length)
        {
            double share = Shares[next++];
            MemoryPlan other = plan(first.Gpus.ToDictionary(gpu => gpu.Name, gpu => share == 0 ? 0 : MemoryPlanner.FreeFor((long)(gpu.UsedBytes * share) + gpu.ReservedBytes)));
            if (other.GpuLayers != current.GpuLayers || other.Model.CpuExpertLayers != current.Model.CpuExpertLayers || other.Context.CellCount != current.Context.CellCount)
                return other;
        }

        return null;
    }

    private static string Text(MemoryPlan plan) =>
        $"{plan.GpuLayers} of {plan.LayerCount} layers on the GPU{(plan.Model.CpuExpertLayers > 0 ? $", the experts of {plan.Model.CpuExpertLayers} on the CPU" : "")} and a pool of {plan.Context.CellCount} tokens";
}
