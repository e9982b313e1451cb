using InferenceServer.Engine.Constraints;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class GrammarTests
{
    public static TheoryData<string, string, string> Grammars => new()
    {
        { "root ::= \"a\" | \"bc\"", "a¦bc", "b¦ab¦" },
        { "root ::= [a-c]+ [^a-c\\n]?", "abc¦ad¦aé", "¦d¦a\n¦add" },
        { "root ::= (\"- \" item)+\nitem ::= [^\\n]+ \"\\n\"", "- x\n¦- x\n- 日本\n", "- \n¦x\n¦- x" },
        { "root ::= \"a\"{2} \"b\"{1,3} \"c\"{0,2} \"d\"{2,}", "aabdd¦aabbbccdddd", "abdd¦aabd¦aabbbbdd¦aabcccdd" },
        { "# comment\nroot ::= ( # inside\n  x |\n  \"(\" root \")\"\n)\nx ::= \"x\"?", "¦x¦(x)¦((()))", "(¦)¦(x" },
        { "root ::= \"\\x41\\u00e9\\U0001F600\" [\\u3041-\\u309F]", "Aé😀ぁ", "Aé😀a" },
        { "root ::= \"\\\"\\\\\\t\" [\\]\\[\\\\-]", "\"\\\t]¦\"\\\t[¦\"\\\t\\¦\"\\\t-", "\"\\\tx" },
        { "root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\"", "1¦1+22¦(1+(2))+3", "1+¦(1¦+1" },
        { "root ::= .{2}", "ab¦日\n¦😀😀", "a¦abc" },
        { "root ::= ws \"x\" ws\nws ::= [ \\t]*", "x¦  x\t", "y" },
        { "root ::= (\"a\"?)* \"b\"", "b¦aab", "a" },
        { "root ::= (\"a\"?){0,3} \"b\"", "b¦aaab", "aaaab" },
        { "root ::= <think> \"x\"", "<think>x", "x¦<think>" },
        { "root ::= [a-]", "a¦-", "b" },
        { "a-b_1 ::= \"x\"\n\nroot ::= a-b_1 |\n  \"y\"\n", "x¦y", "z" },
        { "root ::= list\nlist ::= \"x\" list | \"x\"", "x¦xxxx", "¦y" },
    };

    [Theory]
    [MemberData(nameof(Grammars))]
    public void A_grammar_accepts_its_language_and_no_more(string grammar, string accepted, string refused)
    {
        CompiledConstraint constraint = CompiledConstraint.FromGbnf(grammar);
        foreach (string text in accepted.Split('¦'))
            Assert.True(ConstraintTesting.Accepts(constraint, text), $"{grammar} should accept '{text}'");
        foreach (string text in refused.Split('¦').Where(t => t.Length > 0 || !accepted.Split('¦').Contains("")))
            Assert.False(ConstraintTesting.Accepts(constraint, text), $"{grammar} should refuse '{text}'");
    }

    [Theory]
    [InlineData("root ::= \"a", "line 1, column 10", "never closed")]
    [InlineData("root ::= \"a\"\nb ::= [a-", "line 2, column 7", "never closed")]
    [InlineData("root ::= (\"a\"\n  \"b\"", "line 1, column 10", "never closed")]
    [InlineData("root ::= \"a\")", "line 1, column 13", "unmatched")]
    [InlineData("root ::= x\n\nroot ::= y", "line 3, column 1", "twice")]
    [InlineData("root ::= \"a\" missing", "line 1, column 14", "'missing' is not defined")]
    [InlineData("start ::= \"a\"", "line 1, column 14", "'root'")]
    [InlineData("root = \"a\"", "line 1, column 6", "'::='")]
    [InlineData("root ::= \"\\q\"", "line 1, column 11", "unknown escape")]
    [InlineData("root ::= \"\\ud800\"", "line 1, column 11", "not a Unicode")]
    [InlineData("root ::= *", "line 1, column 10", "nothing to repeat")]
    [InlineData("root ::= \"a\"{3,2}", "line 1, column 17", "below")]
    [InlineData("root ::= \"a\"{999999999}", "line 1, column 14", "above")]
    [InlineData("root ::= <[5]>", "line 1, column 11", "by number")]
    [InlineData("root ::= ?", "line 1, column 10", "nothing to repeat")]
    [InlineData("root ::= a | b\na ::= a \"x\" | \"y\"\nb ::= \"z\"", "a", "'a' is left-recursive")]
    [InlineData("root ::= a\na ::= b? c \"x\"\nb ::= \"q\"\nc ::= a \"z\" | \"y\"", "a", "left-recursive")]
    [InlineData("root ::= \"a\" root", "root", "nothing can satisfy")]
    public void A_malformed_grammar_is_refused_with_line_and_column_or_rule(string grammar, string path, string reason)
    {
        ConstraintException error = Assert.Throws<ConstraintException>(() => CompiledConstraint.FromGbnf(grammar));
        Assert.Equal(path, error.Path);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("root ::= (((\"a\"?){0,500}){0,500}){0,500}")]
    [InlineData("root ::= (\"a\"?){0,100000}")]
    public void A_grammar_made_to_stall_the_decode_thread_is_given_up(string grammar) => Assert.Throws<ConstraintException>(() =>
    {
        ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromGbnf(grammar));
        for (int i = 0; i < 50; i++)
            state.TryAccept(ConstraintTesting.TokenOf("a"));
    });

    [Fact]
    public void Deeply_nested_groups_are_refused_instead_of_overflowing_the_stack() =>
        Assert.Contains("deeper", Assert.Throws<ConstraintException>(() => CompiledConstraint.FromGbnf("root ::= " + new string('(', 100_000))).Message, StringComparison.Ordinal);

    public static TheoryData<string, string, string> Patterns => new()
    {
        { "abc", "abc", "ab¦abcd¦xabc" },
        { "^abc$", "abc", "abcd" },
        { "a|b|cd", "a¦b¦cd", "c¦ab" },
        { "(?:ab)+c?", "ab¦ababc", "a¦abab c" },
        { "(?<year>\\d{4})-\\d{2}", "2024-01", "24-01" },
        { "[^a-c]", "d¦é¦\n", "a¦dd" },
        { "[\\]\\-x]{2}", "]-¦xx", "ab" },
        { "\\w\\W\\s\\S", "a- b", "ab b" },
        { "\\u00e9\\x41\\u{1F600}", "éA😀", "eA😀" },
        { "a{2,}b{0,1}", "aa¦aaab", "a¦aabb" },
        { "a*?b+?", "b¦aabb", "a" },
        { "x{a}", "x{a}", "xa" },
        { ".", "a¦é¦😀", "\n¦aa" },
        { "(a|)b", "b¦ab", "aab" },
        { "😀+", "😀¦😀😀", "�" },
    };

    [Theory]
    [MemberData(nameof(Patterns))]
    public void A_regex_matches_the_whole_reply(string pattern, string accepted, string refused)
    {
        CompiledConstraint constraint = CompiledConstraint.FromRegex(pattern);
        foreach (string text in accepted.Split('¦'))
            Assert.True(ConstraintTesting.Accepts(constraint, text), $"{pattern} should accept '{text}'");
        foreach (string text in refused.Split('¦'))
            Assert.False(ConstraintTesting.Accepts(constraint, text), $"{pattern} should refuse '{text}'");
    }

    [Theory]
    [InlineData("(a)\\1", "backreferences")]
    [InlineData("a(?=b)", "lookahead")]
    [InlineData("a(?!b)", "lookahead")]
    [InlineData("(?<=a)b", "lookbehind")]
    [InlineData("\\bword", "word boundaries")]
    [InlineData("(?i)a", "flags")]
    [InlineData("a++", "possessive")]
    [InlineData("(a", "without ')'")]
    [InlineData("a)", "unmatched")]
    [InlineData("[a", "without ']'")]
    [InlineData("[b-a]", "out of order")]
    [InlineData("*a", "nothing to repeat")]
    [InlineData("a{3,1}", "below")]
    [InlineData("a\\", "backslash")]
    [InlineData("\\p{Greek}", "category")]
    [InlineData("(a{1000}){1000}", "past the limit")]
    [InlineData("x^a", "nothing can satisfy")]
    public void A_regex_outside_the_dialect_is_refused(string pattern, string reason) =>
        Assert.Contains(reason, Assert.Throws<ConstraintException>(() => CompiledConstraint.FromRegex(pattern)).Message, StringComparison.Ordinal);

    [Fact]
    public void Choices_allow_exactly_the_given_texts()
    {
        CompiledConstraint constraint = CompiledConstraint.FromChoices(["yes", "no", "yes please", "日本"]);
        foreach (string text in (string[])["yes", "no", "yes please", "日本"])
            Assert.True(ConstraintTesting.Accepts(constraint, text));
        foreach (string text in (string[])["", "ye", "yes ", "nope", "日"])
            Assert.False(ConstraintTesting.Accepts(constraint, text));
        Assert.Throws<ConstraintException>(() => CompiledConstraint.FromChoices([]));
        Assert.Equal("choice[1]", Assert.Throws<ConstraintException>(() => CompiledConstraint.FromChoices(["a", "\ud800"])).Path);
    }
}
