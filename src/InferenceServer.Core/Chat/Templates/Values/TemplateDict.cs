using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace InferenceServer.Chat.Templates;

/// <summary>A Python dict: any hashable key, order of insertion kept.</summary>
[SuppressMessage("Naming", "CA1710", Justification = "Named as Python names it.")]
public sealed class TemplateDict : TemplateObject
{
    // Messages and tool schemas have few keys: comparing them beats hashing up to about this many.
    private const int LinearSearchMax = 8;

    private readonly List<KeyValuePair<TemplateValue, TemplateValue>> _entries;
    private Dictionary<TemplateValue, int>? _index;

    public TemplateDict(int capacity = 0)
        : base(TemplateValueKind.Dict)
    {
        _entries = new(capacity);
    }

    /// <summary>A frozen dict of these entries.</summary>
    public static TemplateDict Of(params ReadOnlySpan<(string Key, TemplateValue Value)> entries)
    {
        TemplateDict dict = new(entries.Length);
        foreach ((string key, TemplateValue value) in entries)
            dict.Set(key, value);
        return dict.Freeze();
    }

    /// <summary>A JSON object as a frozen dict; see <see cref="TemplateValue.FromJson"/>.</summary>
    /// <exception cref="ArgumentException">The element is no object.</exception>
    public static TemplateDict FromJson(JsonElement element) => TemplateValue.FromJson(element).AsDict
        ?? throw new ArgumentException($"a JSON object is required, not {element.ValueKind}", nameof(element));

    public int Count => _entries.Count;

    /// <summary>Frozen dicts refuse every change a template attempts: input values.</summary>
    internal bool IsFrozen { get; private set; }

    /// <summary>The entries in order of insertion.</summary>
    public IReadOnlyList<KeyValuePair<TemplateValue, TemplateValue>> Entries => _entries;

    public override bool IsTruthy => _entries.Count != 0;

    internal override string TypeName => "dict";

    public TemplateDict Freeze()
    {
        IsFrozen = true;
        return this;
    }

    public bool TryGet(string key, out TemplateValue value)
    {
        if (_index is null && _entries.Count <= LinearSearchMax)
        {
            foreach (KeyValuePair<TemplateValue, TemplateValue> entry in _entries)
            {
                if (entry.Key.Reference is string text ? text == key : entry.Key.AsText == key)
                {
                    value = entry.Value;
                    return true;
                }
            }
            value = default;
            return false;
        }
        return TryGet(TemplateValue.From(key), out value);
    }

    internal bool TryGet(TemplateValue key, out TemplateValue value)
    {
        int at = Find(key);
        value = at < 0 ? default : _entries[at].Value;
        return at >= 0;
    }

    public void Set(TemplateValue key, TemplateValue value)
    {
        int at = Find(key);
        if (at >= 0)
        {
            _entries[at] = new(_entries[at].Key, value);
            return;
        }
        _entries.Add(new(key, value));
        _index?.Add(key, _entries.Count - 1);
    }

    internal bool Remove(TemplateValue key, out TemplateValue value)
    {
        int at = Find(key);
        value = at < 0 ? default : _entries[at].Value;
        if (at < 0)
            return false;
        _entries.RemoveAt(at);
        _index = null;
        return true;
    }

    internal void Clear()
    {
        _entries.Clear();
        _index = null;
    }

    internal TemplateDict Copy()
    {
        TemplateDict copy = new(_entries.Count);
        copy._entries.AddRange(_entries);
        return copy;
    }

    private int Find(TemplateValue key)
    {
        if (_index is null && _entries.Count <= LinearSearchMax)
        {
            _ = PythonEquality.Hash(key);
            for (int i = 0; i < _entries.Count; i++)
                if (PythonEquality.KeysEqual(_entries[i].Key, key))
                    return i;
            return -1;
        }
        _index ??= BuildIndex();
        return _index.TryGetValue(key, out int at) ? at : -1;
    }

    private Dictionary<TemplateValue, int> BuildIndex()
    {
        Dictionary<TemplateValue, int> index = new(_entries.Count * 2, PythonEquality.KeyComparer);
        for (int i = 0; i < _entries.Count; i++)
            index.Add(_entries[i].Key, i);
        return index;
    }
}

/// <summary>What dict.items(), keys() and values() give: a live window on the dict.</summary>
internal sealed class DictView : TemplateObject
{
    public DictView(TemplateDict dict, DictViewPart part)
        : base(TemplateValueKind.DictView)
    {
        Dict = dict;
        Part = part;
    }

    public TemplateDict Dict { get; }

    public DictViewPart Part { get; }

    public override bool IsTruthy => Dict.Count != 0;

    internal override string TypeName => Part switch
    {
        DictViewPart.Keys => "dict_keys",
        DictViewPart.Values => "dict_values",
        _ => "dict_items",
    };

    public TemplateValue At(int index)
    {
        KeyValuePair<TemplateValue, TemplateValue> entry = Dict.Entries[index];
        return Part switch
        {
            DictViewPart.Keys => entry.Key,
            DictViewPart.Values => entry.Value,
            _ => TemplateList.Tuple(entry.Key, entry.Value),
        };
    }
}

internal enum DictViewPart
{
    Keys,
    Values,
    Items,
}
