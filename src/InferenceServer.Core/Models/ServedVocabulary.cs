using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using InferenceServer.Chat;
using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <param name="text">The text to tokenize.</param>
/// <param name="addSpecial">Add what the model wants around every text, such as a beginning-of-sequence token.</param>
/// <param name="parseSpecial">Take the names of control tokens in the text for the tokens themselves.</param>
public delegate int[] Tokenizer(string text, bool addSpecial, bool parseSpecial);

/// <summary>A token's bytes. Control tokens are empty unless asked for.</summary>
public delegate ReadOnlySpan<byte> TokenBytes(int token, bool control);

/// <summary>The tokens before a text, before what comes after a gap, and before what fills it.</summary>
public sealed record MiddleTokens(int BeforePrefix, int BeforeSuffix, int BeforeMiddle);

/// <summary>What the API must know of a vocabulary.</summary>
public sealed record ServedVocabulary
{
    // Lists of breakers are the same few all the time; going through the vocabulary takes milliseconds.
    private const int MaxLists = 16;

    private readonly ConcurrentDictionary<string, IReadOnlySet<int>> _tokensWith = [];
    private SearchValues<string>? _search;

    public required int Count { get; init; }

    public required Tokenizer Tokenize { get; init; }

    public required TokenBytes Bytes { get; init; }

    public int? Bos { get; init; }

    public int? Eos { get; init; }

    /// <summary>Whether the model wants <see cref="Bos"/> before every prompt.</summary>
    public bool AddBos { get; init; }

    /// <summary>Tokens that end a reply.</summary>
    public required IReadOnlyCollection<int> EndTokens { get; init; }

    /// <summary>What is read as a token of its own where control tokens are parsed, by its name.</summary>
    internal IReadOnlyDictionary<string, int> SpecialNames => field ??= NamesOf(this);

    /// <summary>Tokens that are neither text nor control, such as the one for what is unknown.</summary>
    public IReadOnlyDictionary<int, string> UnknownTokens { get; init; } = new Dictionary<int, string>();

    /// <summary>The other control tokens with their names, such as <c>&lt;|channel|&gt;</c>.</summary>
    public required IReadOnlyDictionary<int, string> ControlTokens { get; init; }

    /// <summary>Bytes of the longest token: a text of more than this times the context length cannot fit, and need not be tokenized to know it.</summary>
    public required int LongestTokenBytes { get; init; }

    /// <summary>What a model that fills in the middle wants around the two texts; null for one that does not.</summary>
    public MiddleTokens? Middle { get; init; }

    /// <summary>The tokens whose text holds one of these.</summary>
    internal IReadOnlySet<int> TokensWith(IReadOnlyList<string> texts)
    {
        string key = string.Join('\0', texts);
        if (_tokensWith.TryGetValue(key, out IReadOnlySet<int>? known))
            return known;
        byte[][] wanted = [.. texts.Select(Encoding.UTF8.GetBytes)];
        HashSet<int> found = [];
        for (int token = 0; token < Count; token++)
        {
            ReadOnlySpan<byte> bytes = Bytes(token, false);
            foreach (byte[] text in wanted)
                if (bytes.IndexOf(text) >= 0)
                    found.Add(token);
        }
        if (_tokensWith.Count < MaxLists)
            _tokensWith.TryAdd(key, found);
        return found;
    }

    public static ServedVocabulary Of(LlamaVocab vocab)
    {
        int longest = 1;
        List<int> ends = [];
        Dictionary<int, string> controls = [], unknown = [];
        for (int token = 0; token < vocab.Count; token++)
        {
            ReadOnlySpan<byte> bytes = vocab.TokenBytes(token, special: true);
            longest = Math.Max(longest, bytes.Length);
            if (vocab.IsEndOfGeneration(token))
                ends.Add(token);
            else if (vocab.IsControl(token))
                controls.Add(token, Encoding.UTF8.GetString(bytes));
            else if (bytes.Length > 0 && vocab.TokenBytes(token).IsEmpty)
                unknown.Add(token, Encoding.UTF8.GetString(bytes));
        }

        return new ServedVocabulary
        {
            Count = vocab.Count,
            Tokenize = vocab.HasTokenizer ? vocab.Tokenize : (_, _, _) => throw RequestProblem.Invalid(
                "This model carries no tokenizer, so it cannot read text: send tokens as the prompt of /v1/completions.", null, "no_tokenizer"),
            Bytes = vocab.TokenBytes,
            Bos = vocab.Bos,
            Eos = vocab.Eos,
            AddBos = vocab.AddBos,
            EndTokens = ends,
            ControlTokens = controls,
            UnknownTokens = unknown,
            LongestTokenBytes = longest,
            Middle = vocab is { FimPre: { } prefix, FimSuf: { } suffix, FimMid: { } middle } ? new MiddleTokens(prefix, suffix, middle) : null,
        };
    }

    /// <summary>Several tokens as text, control tokens by their names.</summary>
    public string Text(IReadOnlyList<int> tokens)
    {
        ArrayBufferWriter<byte> bytes = new(Math.Max(16, tokens.Count * 4));
        foreach (int token in tokens)
            bytes.Write(Bytes(token, true));
        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <exception cref="RequestProblem">One of the tokens is not in the vocabulary.</exception>
    public void Check(IReadOnlyList<int> tokens, string param)
    {
        for (int i = 0; i < tokens.Count; i++)
            if ((uint)tokens[i] >= (uint)Count)
                throw RequestProblem.Invalid($"{{where}} is token {tokens[i]}; the model has {Count}.", $"{param}[{i}]", "out_of_range");
    }

    /// <summary>A token as text; bytes that are no complete character become U+FFFD.</summary>
    public string Text(int token) => Encoding.UTF8.GetString(Bytes(token, true));

    /// <summary>A rendered chat: control tokens are parsed, and the beginning-of-sequence token is there once, whether template or tokenizer put it.</summary>
    public int[] TokenizeChat(string rendered) => TokenizeChat(new RenderedPrompt(rendered, []));

    /// <summary>As the other. What comes from outside is text, whatever it reads like.</summary>
    internal int[] TokenizeChat(RenderedPrompt rendered)
    {
        int[] tokens = rendered.Outside.Count == 0 ? Tokenize(rendered.Text, true, true) : TokenizeApart(rendered);
        return AddBos && tokens.Length > 1 && tokens[0] == Bos && tokens[1] == Bos ? tokens[1..] : tokens;
    }

    /// <summary>Takes the template's own control tokens out first, as llama.cpp does with all; each stretch between them is text as a whole.</summary>
    private List<int> Parts(RenderedPrompt rendered)
    {
        string text = rendered.Text;
        List<int> tokens = [];
        int textFrom = 0, at = 0;
        foreach ((int start, int end) in rendered.Outside.Append((text.Length, text.Length)))
        {
            while (text.AsSpan(at, start - at).IndexOfAny(_search ??= SearchValues.Create([.. SpecialNames.Keys], StringComparison.Ordinal)) is >= 0 and var found)
            {
                at += found;
                string name = SpecialNames.Keys.Where(name => string.CompareOrdinal(text, at, name, 0, name.Length) == 0 && at + name.Length <= start).MaxBy(name => name.Length) ?? "";
                if (name.Length == 0)
                {
                    at++;
                    continue;
                }

                AddText(tokens, text[textFrom..at]);
                tokens.Add(SpecialNames[name]);
                textFrom = at += name.Length;
            }

            at = end;
        }

        AddText(tokens, text[textFrom..]);
        return tokens;
    }

    private void AddText(List<int> tokens, string text)
    {
        if (text.Length > 0)
            tokens.AddRange(Tokenize(text, false, false));
    }

    private int[] TokenizeApart(RenderedPrompt rendered)
    {
        List<int> tokens = Parts(rendered);
        return AddBos && Bos is { } bos ? [bos, .. tokens] : [.. tokens];
    }

    private static Dictionary<string, int> NamesOf(ServedVocabulary vocabulary)
    {
        Dictionary<string, int> names = [];
        foreach ((int token, string name) in vocabulary.ControlTokens.Concat(vocabulary.UnknownTokens).Concat(vocabulary.EndTokens.Select(token => KeyValuePair.Create(token, vocabulary.Text(token)))))
            if (name.Length > 0)
                names.TryAdd(name, token);
        return names;
    }
}
