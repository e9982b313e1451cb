// One sequence's progress through a constraint. Owned by whoever runs that sequence: one thread at a time.

using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Engine.Constraints;

/// <summary>Where one sequence is within a <see cref="CompiledConstraint"/>, and what may come next.</summary>
public sealed class ConstraintState
{
    private readonly CompiledConstraint _constraint;
    private readonly TokenVocabularyTrie _vocabulary;
    private readonly ConfigurationCache _cache;
    private Configuration _current;
    private int _epoch;
    private bool _ended;

    /// <exception cref="ConstraintException">The constraint can only go on through a control token that this vocabulary lacks.</exception>
    public ConstraintState(CompiledConstraint constraint, TokenVocabularyTrie vocabulary)
    {
        constraint.RequireControlTokens(vocabulary);
        _constraint = constraint;
        _vocabulary = vocabulary;
        _cache = constraint.Cache;
        _current = _cache.Initial;
    }

    /// <summary>Tokens accepted so far, an end token included.</summary>
    public int AcceptedTokens { get; private set; }

    /// <summary>Whether the text so far satisfies the constraint, so that an end token is allowed.</summary>
    public bool IsComplete => _current.CanEnd;

    /// <summary>Whether nothing but an end token is allowed: the reply is whole, generation may stop without sampling.</summary>
    public bool MustEnd => _ended || (_current.CanEnd && _current.Items.Length == 0);

    /// <summary>Whether a token may come next. Cheap: reads the token's bytes, needs no mask.</summary>
    public bool IsTokenAllowed(int token) => _vocabulary.EndTokens.Contains(token) ? !_ended && _current.CanEnd : After(token) is not null;

    /// <summary>Moves past a token if it is allowed; else returns false and changes nothing.</summary>
    public bool TryAccept(int token)
    {
        if (_vocabulary.EndTokens.Contains(token))
        {
            if (_ended || !_current.CanEnd)
                return false;
            AcceptedTokens++;
            _ended = true;
            return true;
        }
        if (After(token) is not { } next)
            return false;
        AcceptedTokens++;
        _current = next;
        return true;
    }

    /// <summary>Overwrites a mask with the allowed tokens, end tokens included when the constraint is complete.</summary>
    public void FillMask(TokenMask mask)
    {
        if (mask.VocabularySize != _vocabulary.VocabularySize)
            throw new ArgumentException($"The mask is over {mask.VocabularySize} tokens, the vocabulary has {_vocabulary.VocabularySize}.", nameof(mask));
        FillMask(mask.WritableWords);
    }

    /// <summary>Overwrites a bit set with the allowed tokens, end tokens included when the constraint is complete.</summary>
    /// <param name="words">One bit a token, at least <see cref="TokenVocabularyTrie.VocabularySize"/> bits; bit t % 64 of word t / 64.</param>
    internal void FillMask(Span<ulong> words)
    {
        words[_vocabulary.WordCount..].Clear();
        words = words[.._vocabulary.WordCount];
        if (_ended)
        {
            words.Clear();
            return;
        }
        Refresh();
        if (_current.Items.Length == 0)
            words.Clear();
        else
            _vocabulary.MaskOf(_cache, _constraint.ClassOfByte, _current).CopyTo(words);
        if (_current.CanEnd)
            foreach (int token in _vocabulary.EndTokens)
                words[token >> 6] |= 1UL << token;
    }

    /// <summary>The bytes that must come next, whatever is sampled; a control token appears as its marked name.</summary>
    /// <param name="bytes">Filled from the start; the constraint may force more than fit.</param>
    /// <param name="isWhole">Whether nothing can follow these bytes.</param>
    /// <returns>How many bytes were written.</returns>
    internal int ForcedBytes(Span<byte> bytes, out bool isWhole)
    {
        Refresh();
        int count = 0;
        isWhole = false;
        ReadOnlySpan<byte> classOf = _constraint.ClassOfByte;
        ByteCursor cursor = new(_cache, _current);
        for (; !_ended && count < bytes.Length && !cursor.CanEnd; count++)
        {
            Reading?[] steps = cursor.Steps;
            int forced = -1;
            for (int b = 0; b < 256; b++)
            {
                if (steps[classOf[b]] is null)
                    continue;
                if (forced >= 0)
                    return count;
                forced = b;
            }
            if (forced < 0 || !cursor.TryRead((byte)forced))
                return count;
            bytes[count] = (byte)forced;
            isWhole = cursor.IsAtEnd;
        }
        return count;
    }

    /// <summary>
    /// Tokens to append without sampling: the longest ones that spell what the constraint forces. A last token that sampling might
    /// choose longer is left to sampling. Changes nothing: accept them as any others.
    /// </summary>
    /// <returns>How many tokens were written.</returns>
    public int ForcedTokens(Span<int> tokens)
    {
        Span<byte> buffer = stackalloc byte[MaxForcedBytes];
        ReadOnlySpan<byte> text = buffer[..ForcedBytes(buffer, out bool isWhole)];
        int count = 0;
        while (count < tokens.Length && text.Length > 0)
        {
            int token = _vocabulary.LongestPrefix(text, out int length, out bool mayGoOn);
            if (token < 0 || (mayGoOn && !isWhole))
                break;
            tokens[count++] = token;
            text = text[length..];
        }
        return count;
    }

    /// <summary>More than one step can use; what is left is forced again at the next.</summary>
    private const int MaxForcedBytes = 512;

    private Configuration? After(int token)
    {
        if (_ended || (uint)token >= (uint)_vocabulary.VocabularySize)
            return null;
        Refresh();
        ReadOnlySpan<byte> path = _vocabulary.PathOf(token);
        return path.IsEmpty ? null : _cache.After(_current, path);
    }

    private void Refresh()
    {
        int epoch = _cache.Epoch;
        if (_epoch == epoch)
            return;
        _current = _cache.Import(_current);
        _epoch = epoch;
    }
}
