// Finds the first of several byte strings in a stream, one byte at a time (Aho and Corasick's automaton).

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TriggerTrie
{
    private readonly List<Dictionary<byte, int>> _children = [[]];
    private readonly List<int?> _trigger = [null];
    private readonly List<int> _fallback = [0];
    private readonly List<bool> _insideControlToken = [false];

    public TriggerTrie(IEnumerable<byte[]> triggers)
    {
        int index = 0;
        foreach (byte[] trigger in triggers)
        {
            if (trigger.Length == 0)
                throw new ConstraintException("trigger", "a trigger must not be empty");
            Insert(trigger, index++);
        }
        // Breadth first, so that a state's fallback, which is shorter, is complete before the state.
        Queue<int> pending = new(_children[0].Values);
        while (pending.TryDequeue(out int state))
        {
            _trigger[state] ??= _trigger[_fallback[state]];
            foreach ((byte b, int child) in _children[state])
            {
                _fallback[child] = Math.Max(0, Next(_fallback[state], b));
                pending.Enqueue(child);
            }
        }
    }

    public int StateCount => _children.Count;

    /// <summary>The trigger that is complete in this state, or null.</summary>
    public int? TriggerAt(int state) => _trigger[state];

    /// <summary>Whether the state lies between the bytes that open and close a control token, where no other byte may come.</summary>
    public bool IsInsideControlToken(int state) => _insideControlToken[state];

    /// <summary>The state after a byte; -1 where the byte may not come.</summary>
    public int Next(int state, byte b)
    {
        while (true)
        {
            if (_children[state].TryGetValue(b, out int child))
                return child;
            if (_insideControlToken[state])
                return -1;
            if (state == 0)
                return b >= ControlTokenBytes.Close ? -1 : 0;
            state = _fallback[state];
        }
    }

    private void Insert(byte[] trigger, int index)
    {
        int state = 0;
        foreach (byte b in trigger)
        {
            if (!_children[state].TryGetValue(b, out int child))
            {
                _children[state].Add(b, child = _children.Count);
                _children.Add([]);
                _trigger.Add(null);
                _fallback.Add(0);
                _insideControlToken.Add(b == ControlTokenBytes.Open || (_insideControlToken[state] && b != ControlTokenBytes.Close));
            }
            state = child;
        }
        _trigger[state] ??= index;
    }
}
