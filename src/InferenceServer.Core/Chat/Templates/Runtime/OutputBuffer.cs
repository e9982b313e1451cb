// The text being rendered, in one growing array. Captures (macros, set blocks) are its tail past a mark, cut off when complete.

namespace InferenceServer.Chat.Templates;

internal sealed class OutputBuffer
{
    private const int InitialLength = 4096;

    private readonly int _maxLength;
    private char[] _text = new char[InitialLength];
    private int _length;

    public OutputBuffer(int maxLength)
    {
        _maxLength = maxLength;
    }

    public int Length => _length;

    public void Append(ReadOnlySpan<char> text)
    {
        if (text.Length > _text.Length - _length)
            Grow(text.Length);
        text.CopyTo(_text.AsSpan(_length));
        _length += text.Length;
    }

    /// <summary>Takes everything written since Length was <paramref name="mark"/> out of the buffer.</summary>
    public string CutFrom(int mark)
    {
        string text = new(_text, mark, _length - mark);
        _length = mark;
        return text;
    }

    public override string ToString() => new(_text, 0, _length);

    private void Grow(int more)
    {
        long needed = (long)_length + more;
        if (needed > _maxLength)
            throw new TemplateException($"the text is longer than the limit of {_maxLength} characters");
        Array.Resize(ref _text, (int)Math.Min(Math.Max(needed, _text.Length * 2L), _maxLength));
    }
}
