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

    /// <summary>What was added since the last call.</summary>
    /// <param name="textLength">Of the whole text, where it is known: a token that ends a reply, or that a stop string cut off, is past its end.</param>
    public CompletionLogprobs Take(int textLength = int.MaxValue)
    {
        for (int i = 0; i < _offsets.Count; i++)
            _offsets[i] = Math.Min(_offsets[i], textLength);
        CompletionLogprobs taken = new([.. _tokens], [.. _logprobs], top == 0 ? null : [.. _top], [.. _offsets]);
        _tokens.Clear();
        _logprobs.Clear();
        _top.Clear();
        _offsets.Clear();
        return taken;
    }
}
