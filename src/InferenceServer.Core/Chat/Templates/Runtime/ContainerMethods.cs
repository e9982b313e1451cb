// The methods of Python's dict, list and tuple. Those that change their object are refused on frozen ones before they get here.

using System.Collections.Frozen;

namespace InferenceServer.Chat.Templates;

internal static class ContainerMethods
{
    private static readonly FrozenDictionary<string, Builtin> DictMethods = OfDict().ToFrozenDictionary(method => method.Name);
    private static readonly FrozenDictionary<string, Builtin> ListMethods = OfList().ToFrozenDictionary(method => method.Name);

    public static Builtin? ForDict(string name) => DictMethods.GetValueOrDefault(name);

    public static Builtin? ForList(string name, bool isTuple) => isTuple && name is not ("count" or "index") ? null : ListMethods.GetValueOrDefault(name);

    private static Builtin[] OfDict() =>
    [
        new("get", "key default?", (state, self, args) => Dict(self).TryGet(Key(state, args[0]), out TemplateValue value) ? value : OrNone(args[1])),
        new("items", "", (_, self, _) => TemplateValue.From(new DictView(Dict(self), DictViewPart.Items))),
        new("keys", "", (_, self, _) => TemplateValue.From(new DictView(Dict(self), DictViewPart.Keys))),
        new("values", "", (_, self, _) => TemplateValue.From(new DictView(Dict(self), DictViewPart.Values))),
        new("copy", "", (state, self, _) =>
        {
            state.Reserve(Dict(self).Count);
            return Dict(self).Copy();
        }),
        new("fromkeys", "iterable value?", (state, _, args) => FromKeys(state, args[0], OrNone(args[1]))),
        new("pop", "key default?", (state, self, args) => Dict(self).Remove(Key(state, args[0]), out TemplateValue value) ? value
            : !args[1].IsMissing ? args[1] : throw new TemplateException($"the key {PythonText.Repr(state, args[0])} is absent")) { Mutates = true },
        new("popitem", "", (_, self, _) => PopItem(Dict(self))) { Mutates = true },
        new("clear", "", (_, self, _) =>
        {
            Dict(self).Clear();
            return TemplateValue.None;
        }) { Mutates = true },
        new("setdefault", "key default?", (state, self, args) => SetDefault(state, Dict(self), args[0], OrNone(args[1]))) { Mutates = true },
        new("update", (state, self, arguments) =>
        {
            Fill(state, Dict(self), arguments, "update");
            return TemplateValue.None;
        }) { Mutates = true },
    ];

    private static Builtin[] OfList() =>
    [
        new("count", "value", (state, self, args) => self.AsList!.Items.LongCount(item => state.Equal(item, args[0]))),
        new("index", "value start? end?", (state, self, args) => IndexOf(state, self.AsList!, args[0], args[1], args[2])),
        new("copy", "", (state, self, _) => state.List([.. self.AsList!.Items])),
        new("append", "item", (state, self, args) => Change(state, self, items => items.Add(args[0]))) { Mutates = true },
        new("extend", "iterable", (state, self, args) =>
        {
            List<TemplateValue> more = Iteration.ToList(state, args[0]);
            return Change(state, self, items => items.AddRange(more));
        }) { Mutates = true },
        new("insert", "index item", (state, self, args) => Change(state, self, items => items.Insert(Position(items, args[0]), args[1]))) { Mutates = true },
        new("clear", "", (state, self, _) => Change(state, self, items => items.Clear())) { Mutates = true },
        new("reverse", "", (state, self, _) => Change(state, self, items => items.Reverse())) { Mutates = true },
        new("remove", "value", (state, self, args) =>
        {
            long at = IndexOf(state, self.AsList!, args[0], default, default).AsLong;
            return Change(state, self, items => items.RemoveAt((int)at));
        }) { Mutates = true },
        new("pop", "index?", (_, self, args) => Pop(self.AsList!.Items, args[0])) { Mutates = true },
        new("sort", "key? reverse?", (state, self, args) => args[0].IsMissing || args[0].IsNone
            ? Change(state, self, items => Sorting.Sort(state, items, item => item, args[1].IsTruthy))
            : throw new TemplateException("list.sort() with a key is not supported; use the sort filter")) { Mutates = true },
    ];

    private static TemplateDict Dict(TemplateValue self) =>
        self.AsDict ?? throw new TemplateException($"a dict is required, not '{self.TypeName}'");

    private static TemplateValue OrNone(TemplateValue value) => value.IsMissing ? TemplateValue.None : value;

    private static TemplateValue Key(RenderState state, TemplateValue key)
    {
        state.ChargeText(key.AsText?.Length ?? 0);
        return key;
    }

    private static TemplateValue FromKeys(RenderState state, TemplateValue keys, TemplateValue value)
    {
        TemplateDict dict = new();
        foreach (TemplateValue key in Iteration.Of(state, keys))
            dict.Set(key, value);
        state.Reserve(dict.Count);
        return dict;
    }

    private static TemplateValue PopItem(TemplateDict dict)
    {
        if (dict.Count == 0)
            throw new TemplateException("popitem(): dictionary is empty");
        (TemplateValue key, TemplateValue value) = dict.Entries[^1];
        dict.Remove(key, out _);
        return TemplateList.Tuple(key, value);
    }

    private static TemplateValue SetDefault(RenderState state, TemplateDict dict, TemplateValue key, TemplateValue value)
    {
        if (dict.TryGet(key, out TemplateValue found))
            return found;
        state.Reserve(1);
        dict.Set(key, value);
        return value;
    }

    /// <summary>What dict(), namespace() and update() take: a mapping or pairs, and keywords.</summary>
    public static void Fill(RenderState state, TemplateDict target, CallArguments arguments, string function)
    {
        if (arguments.Positional.Length > 1)
            throw new TemplateException($"{function}() takes at most 1 positional argument");
        int before = target.Count;
        if (arguments.Positional.Length == 1 && arguments.Positional[0].AsDict is TemplateDict dict)
        {
            foreach (KeyValuePair<TemplateValue, TemplateValue> entry in dict.Entries.ToArray())
                target.Set(entry.Key, entry.Value);
        }
        else if (arguments.Positional.Length == 1)
        {
            foreach (TemplateValue pair in Iteration.Of(state, arguments.Positional[0]))
            {
                List<TemplateValue> two = Iteration.ToList(state, pair);
                if (two.Count != 2)
                    throw new TemplateException($"{function}(): an element has length {two.Count}; 2 is required");
                target.Set(two[0], two[1]);
            }
        }
        foreach ((string name, TemplateValue value) in arguments.Named)
            target.Set(name, value);
        state.Reserve(Math.Max(0, target.Count - before));
    }

    private static TemplateValue Change(RenderState state, TemplateValue self, Action<List<TemplateValue>> change)
    {
        List<TemplateValue> items = self.AsList!.Items;
        state.Charge(items.Count >> 6);
        int before = items.Count;
        change(items);
        state.Reserve(Math.Max(0, items.Count - before));
        if (items.Count > state.Limits.MaxValueLength)
            state.Reserve(items.Count);
        return TemplateValue.None;
    }

    private static int Position(List<TemplateValue> items, TemplateValue index)
    {
        long at = Integer(index);
        return (int)Math.Clamp(at < 0 ? at + items.Count : at, 0, items.Count);
    }

    private static long Integer(TemplateValue value) => value.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean
        ? value.AsLong : throw new TemplateException($"'{value.TypeName}' object cannot be interpreted as an integer");

    private static TemplateValue Pop(List<TemplateValue> items, TemplateValue index)
    {
        long at = index.IsMissing ? -1 : Integer(index);
        at = at < 0 ? at + items.Count : at;
        if (at < 0 || at >= items.Count)
            throw new TemplateException(items.Count == 0 ? "pop from empty list" : "pop index out of range");
        TemplateValue item = items[(int)at];
        items.RemoveAt((int)at);
        return item;
    }

    private static TemplateValue IndexOf(RenderState state, TemplateList list, TemplateValue value, TemplateValue start, TemplateValue end)
    {
        int from = start.IsMissing ? 0 : Position(list.Items, start);
        int to = end.IsMissing ? list.Count : Position(list.Items, end);
        for (int i = from; i < to; i++)
            if (state.Equal(list[i], value))
                return i;
        throw new TemplateException($"{PythonText.Repr(state, value)} is not in list");
    }
}
