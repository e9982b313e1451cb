namespace InferenceServer.Chat.Replies;

/// <summary>Text that was received and not yet decided on. What was consumed since <see cref="Commit"/> can be taken back.</summary>
internal sealed class ReplyBuffer
{
    private char[] _text = new char[256];
    private int _committed;
    private int _start;
    private int _end;

    /// <summary>What is not consumed.</summary>
    public ReadOnlySpan<char> Rest => _text.AsSpan(_start, _end - _start);

    /// <summary>What was consumed and may still be taken back.</summary>
    public ReadOnlySpan<char> Consumed => _text.AsSpan(_committed, _start - _committed);

    /// <summary>Nothing more will come.</summary>
    public bool IsLast { get; set; }

    public void Append(ReadOnlySpan<char> text)
    {
        if (_committed == _end)
            _committed = _start = _end = 0;
        if (_text.Length - _end < text.Length)
        {
            int used = _end - _committed;
            char[] room = used + text.Length <= _text.Length ? _text : new char[Math.Max(_text.Length * 2, used + text.Length)];
            Array.Copy(_text, _committed, room, 0, used);
            (_text, _start, _end, _committed) = (room, _start - _committed, used, 0);
        }

        text.CopyTo(_text.AsSpan(_end));
        _end += text.Length;
    }

    public void Consume(int count) => _start += count;

    public void ConsumeSpace()
    {
        while (_start < _end && char.IsWhiteSpace(_text[_start]))
            _start++;
    }

    public void Commit() => _committed = _start;

    /// <summary>Takes back what was consumed since the last commit.</summary>
    public void Rewind() => _start = _committed;
}
