// What every front end (JSON Schema, GBNF, regex, choices, tool-call parts) produces and GrammarCompiler turns into an automaton:
// rules whose bodies are expressions over bytes. Built by one thread while a constraint is compiled, not changed after.

using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>How the strings of a <see cref="Dfa"/> are spelled in bytes.</summary>
internal enum TextEncoding
{
    /// <summary>As UTF-8.</summary>
    Raw,

    /// <summary>As the inside of a JSON string, in one spelling: short escapes, \u00XX for other controls, everything else as UTF-8.</summary>
    JsonString,
}

/// <summary>A named rule; references may be made before the body is set, so that rules can recur.</summary>
internal sealed class GrammarRule(string name)
{
    public string Name { get; } = name;

    public Expression? Body { get; set; }
}

/// <summary>One way to go on when free text reaches a trigger.</summary>
internal sealed record Trigger(byte[] Bytes, Expression Then)
{
    /// <summary>It counts only at the text's beginning, and where the text goes on after another trigger.</summary>
    public bool AtStart { get; init; }
}

internal abstract record Expression
{
    public static Expression Empty { get; } = new Sequence([]);

    /// <summary>Matches nothing at all; paths through it are cut away.</summary>
    public static Expression Never { get; } = new Choice([]);

    public static Expression Text(string text) => new Literal(System.Text.Encoding.UTF8.GetBytes(text));

    public static Expression Optional(Expression body) => new Repeat(body, 0, 1);

    internal sealed record Literal(byte[] Bytes) : Expression;

    /// <summary>A control token by its name. Where it is required, a vocabulary without it is refused; elsewhere the path is just never taken.</summary>
    internal sealed record ControlToken(string Name, bool IsRequired) : Expression;

    /// <summary>One character, as UTF-8.</summary>
    internal sealed record Characters(CodePointSet Set) : Expression;

    internal sealed record Sequence(IReadOnlyList<Expression> Items) : Expression;

    internal sealed record Choice(IReadOnlyList<Expression> Items) : Expression;

    /// <summary>Null Max: without upper bound.</summary>
    internal sealed record Repeat(Expression Body, int Min, int? Max) : Expression;

    internal sealed record Reference(GrammarRule Rule) : Expression;

    /// <summary>
    /// The members of an object, each at most once and in any order, but that required ones keep the order given. At most <see cref="MaxMembers"/>.
    /// </summary>
    /// <param name="Declared">None may be empty text.</param>
    /// <param name="Extra">Any number of times, once no required member is missing; null for none. Not together with bounds.</param>
    /// <param name="End">What follows where there was a member.</param>
    /// <param name="Min">Fewest members.</param>
    /// <param name="Max">Most members; null for no limit.</param>
    internal sealed record Members(IReadOnlyList<Member> Declared, Expression? Extra, Expression Separator, Expression End, int Min, int? Max) : Expression
    {
        /// <summary>A bit each in a frame's count, which has two more: its sign, and whether there was any member.</summary>
        public const int MaxMembers = 62;
    }

    internal sealed record Member(Expression Body, bool IsRequired);

    /// <param name="MaxLength">Most code points, counted while reading: an automaton of its own for each length would be too large. Null for no limit.</param>
    internal sealed record Terminal(Dfa Dfa, TextEncoding Encoding, int? MaxLength = null) : Expression;

    /// <summary>The inside of a JSON string of Min to Max code points: any escapes, valid UTF-8, no lone surrogates.</summary>
    internal sealed record JsonStringBody(int Min, int? Max) : Expression;

    /// <summary>Counts towards the nesting limit. Must be followed by something, as the inside of brackets is.</summary>
    internal sealed record Nested(Expression Body) : Expression;

    /// <summary>
    /// Any bytes until the first occurrence of a trigger, which is part of the match and decides how to go on. After that the text goes on as
    /// before when <paramref name="Resumes"/>, else it is over. May end at any point when <paramref name="MayEnd"/>. Control tokens occur only
    /// as triggers, or anywhere when <paramref name="AllowsControlTokens"/>.
    /// </summary>
    internal sealed record FreeText(IReadOnlyList<Trigger> Triggers, bool MayEnd, bool Resumes = false, bool AllowsControlTokens = false) : Expression;
}

/// <summary>How control tokens, which no text can spell, appear among the bytes: between two bytes that UTF-8 never uses.</summary>
internal static class ControlTokenBytes
{
    public const byte Open = 0xFF;
    public const byte Close = 0xFE;

    public static byte[] Of(string name) => [Open, .. System.Text.Encoding.UTF8.GetBytes(name), Close];

    /// <summary>A text in which the given names stand for their control tokens, the longest where several would.</summary>
    public static byte[] Spell(string text, IReadOnlyCollection<string> names)
    {
        if (names.Count == 0)
            return System.Text.Encoding.UTF8.GetBytes(text);
        List<byte> bytes = [];
        int plain = 0;
        for (int at = 0; at < text.Length; at++)
        {
            string? found = null;
            foreach (string name in names)
                if (name.Length > (found?.Length ?? 0) && string.CompareOrdinal(text, at, name, 0, name.Length) == 0)
                    found = name;
            if (found is null)
                continue;
            bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(text[plain..at]));
            bytes.AddRange(Of(found));
            plain = at + found.Length;
            at = plain - 1;
        }
        bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(text[plain..]));
        return [.. bytes];
    }
}
