using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Gathers one choice's tokens into OpenAI's parallel arrays. Offsets go on counting over <see cref="Take"/>.</summary>
internal sealed class CompletionLogprobBuilder(int top)
{
    private readonly List<string> _tokens = [];
    private readonly List<float?> _logprobs = [];
    private readonly List<IReadOnlyDictionary<string, float>?> _top = [];
    private readonly List<int> _offsets = [];
    private int _offset;

    public void Add(ServedVocabulary vocabulary, TokenLogprobs logprobs)
    {
        string text = vocabulary.Text(logprobs.Token);
        _tokens.Add(text);
        _logprobs.Add(ReportedLogprob.Finite(logprobs.Logprob));
        _offsets.Add(_offset);
        _offset += text.Length;
        if (top == 0)
            return;

        // The one taken is always there, as OpenAI says; tokens that read alike share an entry, the likelier one's.
        Dictionary<string, float> best = [];
        foreach (TokenLogprob candidate in logprobs.Top)
            best.TryAdd(vocabulary.Text(candidate.Token), ReportedLogprob.Finite(candidate.Logprob));
        best.TryAdd(text, ReportedLogprob.Finite(logprobs.Logprob));
        _top.Add(best);
    }

    /// <summary>A prompt's first token: nothing before it says how likely it is.</summary>
    public void AddFirst(ServedVocabulary vocabulary, int token)
    {
        string text = vocabulary.Text(token);
        _tokens.Add(text);
        _logprobs.Add(null);
        _offsets.Add(_offset);
        _offset += text.Length;
        if (top > 0)
            _top.Add(null);
    }

    /// <summary>What was added since the last call. A token that ends a reply, or that a stop string cut off, is past the end of the text.</summary>
    /// <param name="textLength">Of the whole text.</param>
    public CompletionLogprobs Take(int textLength)
    {
        for (int i = 0; i < _offsets.Count; i++)
            _offsets[i] = Math.Min(_offsets[i], textLength);
        return TakeFirst(_tokens.Count);
    }

    /// <summary>Of what was added, the tokens that begin within a text that goes on; whether the others are past its end will be seen. Null for none.</summary>
    /// <param name="textLength">Of the text so far.</param>
    public CompletionLogprobs? TakeWithin(int textLength)
    {
        int count = _offsets.FindIndex(offset => offset > textLength) is >= 0 and var first ? first : _offsets.Count;
        return count == 0 ? null : TakeFirst(count);
    }

    private CompletionLogprobs TakeFirst(int count)
    {
        CompletionLogprobs taken = new(_tokens[..count], _logprobs[..count], top == 0 ? null : _top[..count], _offsets[..count]);
        _tokens.RemoveRange(0, count);
        _logprobs.RemoveRange(0, count);
        _offsets.RemoveRange(0, count);
        if (top > 0)
            _top.RemoveRange(0, count);
        return taken;
    }

    /// <summary>Whether something was added that nobody took.</summary>
    public bool HasMore => _tokens.Count > 0;
}
