// Finds the first of several byte strings in a stream, one byte at a time (Aho and Corasick's automaton).

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TriggerTrie
{
    private readonly List<Dictionary<byte, int>> _children = [[]];
    private readonly List<int?> _trigger = [null];
    private readonly List<int> _fallback = [0];
    private readonly List<bool> _insideControlToken = [false];

    private readonly int _otherControlToken = -1;

    /// <param name="triggers">What to find, none empty.</param>
    /// <param name="allowsControlTokens">Whether control tokens that are no triggers may come anywhere.</param>
    public TriggerTrie(IEnumerable<byte[]> triggers, bool allowsControlTokens)
    {
        int index = 0;
        foreach (byte[] trigger in triggers)
        {
            if (trigger.Length == 0)
                throw new ConstraintException("trigger", "a trigger must not be empty");
            Insert(trigger, index++);
        }
        if (allowsControlTokens)
            _otherControlToken = AddState(insideControlToken: true);
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
                return b == ControlTokenBytes.Open || _otherControlToken < 0 ? -1 : b == ControlTokenBytes.Close ? 0 : _otherControlToken;
            if (state == 0)
                return b == ControlTokenBytes.Open ? _otherControlToken : b == ControlTokenBytes.Close ? -1 : 0;
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
                child = AddState(b == ControlTokenBytes.Open || (_insideControlToken[state] && b != ControlTokenBytes.Close));
                _children[state].Add(b, child);
            }
            state = child;
        }
        _trigger[state] ??= index;
    }

    private int AddState(bool insideControlToken)
    {
        _children.Add([]);
        _trigger.Add(null);
        _fallback.Add(0);
        _insideControlToken.Add(insideControlToken);
        return _children.Count - 1;
    }
}
