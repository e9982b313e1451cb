// The LoRA adapters of a model by their names. Any thread: readers see a list that is replaced as a whole.

using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <summary>An adapter that requests can name.</summary>
/// <param name="Id">Its number: it stays while the adapter does.</param>
/// <param name="Scale">How much it counts where a request's model is this adapter.</param>
/// <param name="DefaultScale">How much it counts where a request names the model alone.</param>
/// <param name="IsOwn">As <see cref="AdapterOptions.IsOwn"/>.</param>
public sealed record ServedAdapter(int Id, string Name, EngineAdapter Loaded, float Scale, float DefaultScale, bool IsOwn)
{
    public AdapterSet Alone { get; } = AdapterSet.Of([(Loaded, Scale)]);
}

/// <summary>Those of one model: loaded, listed, scaled and removed while it answers.</summary>
/// <param name="load">Loads a file; null where the model takes no adapters.</param>
public sealed class ServedAdapters(Func<string, Task<EngineAdapter>>? load)
{
    /// <summary>Each takes memory, and makes the graphs larger that llama.cpp makes room for.</summary>
    public const int MostLoaded = 64;

    private readonly Lock _gate = new();
    private readonly HashSet<string> _loading = new(StringComparer.OrdinalIgnoreCase);
    private volatile IReadOnlyList<ServedAdapter> _all = [];
    private volatile AdapterSet _default = AdapterSet.None;
    private int _nextId;

    /// <summary>In the order of their numbers.</summary>
    public IReadOnlyList<ServedAdapter> All => _all;

    /// <summary>Those that requests can name.</summary>
    public IEnumerable<ServedAdapter> Named => _all.Where(static adapter => !adapter.IsOwn);

    /// <summary>What requests are computed with that name the model alone.</summary>
    public AdapterSet Default => _default;

    /// <summary>Null where there is none of this name.</summary>
    public ServedAdapter? Find(string name) => Named.FirstOrDefault(adapter => adapter.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Loads one, and lists it once requests can name it.</summary>
    /// <exception cref="RequestProblem">The name is none, or taken, or as many are loaded as may be.</exception>
    /// <exception cref="LlamaException">The file cannot be used; the message names it and says why.</exception>
    public async Task<ServedAdapter> LoadAsync(AdapterOptions options)
    {
        if (load is null)
            throw RequestProblem.Invalid("This model takes no LoRA adapters.", "model", "invalid_value");
        Reserve(options.Name);
        EngineAdapter? loaded = null;
        try
        {
            loaded = await load(options.Path);
        }
        finally
        {
            lock (_gate)
            {
                _loading.Remove(options.Name);
                if (loaded is not null)
                    Replace([.. _all, new ServedAdapter(_nextId++, options.Name, loaded, options.Scale, options.IsOwn ? options.Scale : 0, options.IsOwn)]);
            }
        }

        return _all.First(adapter => adapter.Loaded == loaded);
    }

    /// <summary>Requests that run keep it to their end; others do not find it any more. False where there is none of this name.</summary>
    public bool Unload(string name)
    {
        lock (_gate)
        {
            if (Find(name) is not { } leaving)
                return false;
            Replace([.. _all.Where(adapter => adapter != leaving)]);
            leaving.Loaded.Release();
            return true;
        }
    }

    /// <summary>How much each counts where a request names the model alone; those that are not listed do not count.</summary>
    /// <exception cref="RequestProblem">A number names none; the place is its index in the list.</exception>
    public void SetDefaults(IReadOnlyList<AdapterChoice> scales)
    {
        lock (_gate)
        {
            ServedAdapter[] chosen = [.. scales.Select((choice, i) => Choose(choice, $"[{i}]."))];
            CheckOnce(chosen, "");
            Replace([.. _all.Select(adapter => adapter with { DefaultScale = Array.IndexOf(chosen, adapter) is >= 0 and var i ? scales[i].Scale : 0 })]);
        }
    }

    /// <summary>The adapters that a request chose itself.</summary>
    /// <exception cref="RequestProblem">It names one that is not there, or one twice.</exception>
    public AdapterSet Of(IReadOnlyList<AdapterChoice> choices)
    {
        const string Where = nameof(GenerationOptions.Adapters);
        ServedAdapter[] chosen = [.. choices.Select((choice, i) => Choose(choice, $"{Where}[{i}]."))];
        CheckOnce(chosen, Where);
        return AdapterSet.Of(chosen.Select((adapter, i) => (adapter.Loaded, choices[i].Scale)));
    }

    private ServedAdapter Choose(AdapterChoice choice, string place)
    {
        ServedAdapter? found = choice.Id is { } id ? _all.FirstOrDefault(adapter => adapter.Id == id) : Find(choice.Name!);
        return found ?? throw RequestProblem.Invalid(
            $"{{where}} names no LoRA adapter of this model; there {(_all.Count == 0 ? "is none" : $"are {string.Join(", ", _all.Select(adapter => $"{adapter.Id} ({adapter.Name})"))}")}.",
            place + (choice.Id is null ? "name" : "id"), "adapter_not_found");
    }

    private static void CheckOnce(ServedAdapter[] chosen, string place)
    {
        for (int i = 1; i < chosen.Length; i++)
            if (Array.IndexOf(chosen, chosen[i]) < i)
                throw RequestProblem.Invalid($"{{where}} names the LoRA adapter '{chosen[i].Name}' a second time.", $"{place}[{i}]", "invalid_value");
    }

    private void Reserve(string name)
    {
        if (!AdapterOptions.IsName(name))
            throw RequestProblem.Invalid($"A LoRA adapter's name must be {AdapterOptions.NameForm}.", "lora_name", "invalid_value");
        lock (_gate)
        {
            if (_all.Any(adapter => adapter.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) || !_loading.Add(name))
                throw RequestProblem.Invalid($"A LoRA adapter '{name}' is loaded already: unload it first, or name this one otherwise.", "lora_name", "adapter_exists");
            if (_all.Count + _loading.Count <= MostLoaded)
                return;
            _loading.Remove(name);
            throw RequestProblem.Invalid($"{MostLoaded} LoRA adapters are loaded, and no more may be: unload one first.", "lora_name", "too_many_adapters");
        }
    }

    private void Replace(IReadOnlyList<ServedAdapter> all)
    {
        _all = all;
        _default = AdapterSet.Of(all.Where(static adapter => adapter.DefaultScale != 0).Select(static adapter => (adapter.Loaded, adapter.DefaultScale)));
    }
}
