namespace InferenceServer.Engine.Text;

/// <summary>Short texts that replies are made of, each kept once: most tokens read the same wherever they stand. One thread's.</summary>
public sealed class TextPool
{
    /// <summary>Longer texts are rare, and a model cannot fill the pool with what it repeats nowhere: 32,768 texts of 24 characters are 3 MB.</summary>
    private const int LongestText = 24;
    private const int MostTexts = 32_768;

    private readonly HashSet<string> _texts = new(MostTexts);
    private readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> _lookup;

    public TextPool() => _lookup = _texts.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>A string of these characters, the same one each time where it is kept.</summary>
    public string Get(ReadOnlySpan<char> text)
    {
        if (text.Length > LongestText)
            return new string(text);
        if (_lookup.TryGetValue(text, out string? kept))
            return kept;
        string made = new(text);
        if (_texts.Count < MostTexts)
            _texts.Add(made);
        return made;
    }
}
