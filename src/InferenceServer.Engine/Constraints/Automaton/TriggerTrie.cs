// Finds the first of several byte strings in a stream, one byte at a time (Aho and Corasick's automaton).

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TriggerTrie
{
    private readonly List<Dictionary<byte, int>> _children = [[]];
    private readonly List<int?> _trigger = [null];
    private readonly List<int> _fallback = [0];
    private readonly List<bool> _insideControlToken = [false];

    private readonly HashSet<(int State, byte Space)> _passesSpace = [];

    private readonly int _otherControlToken = -1;

    /// <param name="triggers">What to find, none empty.</param>
    /// <param name="atStart">Which of them count only where nothing but white space came before.</param>
    /// <param name="allowsControlTokens">Whether control tokens that are no triggers may come anywhere.</param>
    public TriggerTrie(IReadOnlyList<byte[]> triggers, IReadOnlyList<bool> atStart, bool allowsControlTokens)
    {
        for (int i = 0; i < triggers.Count; i++)
        {
            if (triggers[i].Length == 0)
                throw new ConstraintException("trigger", "a trigger must not be empty");
            if (!atStart[i])
                Insert(triggers[i], i, 0);
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
        if (atStart.Contains(true))
            AddStart(triggers, atStart);
    }

    /// <summary>Where a text begins.</summary>
    public int Start { get; private set; }

    /// <summary>
    /// A trie of its own that is entered at the start alone. Whoever leaves it goes on where the same text leads among the other triggers. White space
    /// passes before such a trigger, and after its opening brackets, where JSON may have some.
    /// </summary>
    private void AddStart(IReadOnlyList<byte[]> triggers, IReadOnlyList<bool> atStart)
    {
        Start = AddState(insideControlToken: false);
        for (int i = 0; i < triggers.Count; i++)
            if (atStart[i])
                Insert(triggers[i], i, Start);
        Queue<int> pending = new([Start]);
        while (pending.TryDequeue(out int state))
        {
            foreach ((byte b, int child) in _children[state])
            {
                _fallback[child] = Math.Max(0, Next(_fallback[state], b));
                _trigger[child] ??= _trigger[_fallback[child]];
                pending.Enqueue(child);
                if (b is (byte)'{' or (byte)'[' && !_insideControlToken[child])
                    LetSpacePass(child);
            }
        }
        LetSpacePass(Start);
    }

    private void LetSpacePass(int state)
    {
        foreach (byte space in " \t\r\n"u8)
            _passesSpace.Add((state, space));
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
            if (_passesSpace.Contains((state, b)))
                return state;
            if (_insideControlToken[state] && !_insideControlToken[_fallback[state]])
                return b == ControlTokenBytes.Open || _otherControlToken < 0 ? -1 : b == ControlTokenBytes.Close ? 0 : _otherControlToken;
            if (state == 0)
                return b == ControlTokenBytes.Open ? _otherControlToken : b == ControlTokenBytes.Close ? -1 : 0;
            state = _fallback[state];
        }
    }

    private void Insert(byte[] trigger, int index, int state)
    {
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
