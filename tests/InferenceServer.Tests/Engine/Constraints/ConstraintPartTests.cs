using System.Text;
using InferenceServer.Engine.Constraints;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class ConstraintPartTests
{
    private const string Weather = """{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}""";
    private const string Clock = """{"type":"object","properties":{"zone":{"enum":["utc","cet"]}},"required":["zone"],"additionalProperties":false}""";

    private static ConstraintPart HermesCall { get; } = ConstraintPart.Sequence(
        ConstraintPart.Text("\n{\"name\": \""),
        ConstraintPart.Choice(
            ConstraintPart.Sequence(ConstraintPart.Text("weather\", \"arguments\": "), ConstraintPart.JsonSchema(Weather)),
            ConstraintPart.Sequence(ConstraintPart.Text("clock\", \"arguments\": "), ConstraintPart.JsonSchema(Clock))),
        ConstraintPart.Text("}\n</tool_call>"));

    private static CompiledConstraint Auto(bool resumes) => CompiledConstraint.FromParts(ConstraintPart.FreeText([new("<tool_call>", HermesCall)], resumes));

    private const string WeatherCall = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Ulm\"}}\n</tool_call>";
    private const string ClockCall = "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": \"utc\"}}\n</tool_call>";

    [Theory]
    [InlineData("")]
    [InlineData("Just text with < and <tool and </tool_call> and \"quotes\" 日本.")]
    [InlineData(WeatherCall)]
    [InlineData("Let me look. " + WeatherCall)]
    [InlineData(WeatherCall + "\n" + ClockCall + " done")]
    [InlineData("<tool_<tool_cal" + ClockCall)]
    public void Free_text_may_hold_calls_that_obey_their_schemas(string text) => Assert.True(ConstraintTesting.Accepts(Auto(resumes: true), text), text);

    [Theory]
    [InlineData("<tool_call>")]
    [InlineData("<tool_call>x")]
    [InlineData("text <tool_call>\n{\"name\": \"unknown\"")]
    [InlineData("<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": \"pst\"}}\n</tool_call>")]
    [InlineData("<tool_<tool_call>no")]
    public void A_trigger_cannot_be_evaded_or_left_unfinished(string text) => Assert.False(ConstraintTesting.Accepts(Auto(resumes: true), text), text);

    [Fact]
    public void Without_resuming_one_call_ends_the_reply()
    {
        Assert.True(ConstraintTesting.Accepts(Auto(resumes: false), "text " + ClockCall));
        Assert.False(ConstraintTesting.Accepts(Auto(resumes: false), ClockCall + " "));
        ConstraintState state = ConstraintTesting.Start(Auto(resumes: false));
        foreach (byte b in Encoding.UTF8.GetBytes(ClockCall))
            Assert.True(state.TryAccept(ConstraintTesting.TokenOf(((char)b).ToString())));
        Assert.True(state.MustEnd);
    }

    [Fact]
    public void A_trigger_is_found_however_the_tokens_cut_it()
    {
        foreach (string[] cut in (string[][])[["<tool_call>"], ["<tool", "_call>"], ["<", "t", "o", "o", "l", "_call>"], ["hello", "<", "t", "o", "o", "l", "_call>"]])
        {
            ConstraintState state = ConstraintTesting.Start(Auto(resumes: true));
            foreach (string piece in cut)
                Assert.True(state.TryAccept(ConstraintTesting.TokenOf(piece)));
            Assert.False(state.IsComplete);
            Assert.All(ConstraintTesting.AllowedTokens(state), token => Assert.Equal("\n"u8, ConstraintTesting.TokenBytes[token]));
            Assert.True(state.IsTokenAllowed(ConstraintTesting.TokenOf("\n")));
        }
    }

    [Fact]
    public void Required_calls_allow_no_text_around_them()
    {
        ConstraintPart call = ConstraintPart.Sequence(ConstraintPart.Text("<tool_call>"), HermesCall);
        CompiledConstraint required = CompiledConstraint.FromParts(ConstraintPart.Repeat(call, 1, 2, ConstraintPart.Text("\n")));
        Assert.True(ConstraintTesting.Accepts(required, WeatherCall));
        Assert.True(ConstraintTesting.Accepts(required, WeatherCall + "\n" + ClockCall));
        Assert.False(ConstraintTesting.Accepts(required, ""));
        Assert.False(ConstraintTesting.Accepts(required, "x" + WeatherCall));
        Assert.False(ConstraintTesting.Accepts(required, WeatherCall + "\n" + ClockCall + "\n" + ClockCall));
    }

    [Fact]
    public void Parameters_as_raw_text_run_until_their_closing_tag()
    {
        CompiledConstraint xml = CompiledConstraint.FromParts(ConstraintPart.Sequence(
            ConstraintPart.Text("<function=write>\n<parameter=text>\n"), ConstraintPart.TextUntil("\n</parameter>"), ConstraintPart.Text("\n"),
            ConstraintPart.Optional(ConstraintPart.Sequence(ConstraintPart.Text("<parameter=count>\n"), ConstraintPart.JsonSchema("""{"type":"integer"}"""), ConstraintPart.Text("\n</parameter>\n"))),
            ConstraintPart.Text("</function>")));
        Assert.True(ConstraintTesting.Accepts(xml, "<function=write>\n<parameter=text>\na < b\n</p \"q\"\n\n</parameter>\n</function>"));
        Assert.True(ConstraintTesting.Accepts(xml, "<function=write>\n<parameter=text>\n\n</parameter>\n<parameter=count>\n12\n</parameter>\n</function>"));
        Assert.False(ConstraintTesting.Accepts(xml, "<function=write>\n<parameter=text>\nx\n</parameter>\n<parameter=count>\nx\n</parameter>\n</function>"));
        Assert.False(ConstraintTesting.Accepts(xml, "<function=write>\n<parameter=text>\nx</function>"));
    }

    [Fact]
    public void Control_tokens_trigger_only_as_themselves()
    {
        CompiledConstraint constraint = CompiledConstraint.FromParts(ConstraintPart.FreeText([new("<|tool|>", ConstraintPart.Text("{}"), IsControlToken: true)]));
        Assert.True(ConstraintTesting.Accepts(constraint, "spelled <|tool|> is text"));
        ConstraintState state = ConstraintTesting.Start(constraint);
        Assert.True(state.TryAccept(ConstraintTesting.TokenOf("hello")));
        Assert.Contains(ConstraintTesting.ToolToken, ConstraintTesting.AllowedTokens(state));
        Assert.True(state.TryAccept(ConstraintTesting.ToolToken));
        Assert.Equal([ConstraintTesting.TokenOf("{"), ConstraintTesting.TokenOf("{}")], ConstraintTesting.AllowedTokens(state));
        Assert.True(state.TryAccept(ConstraintTesting.TokenOf("{}")));
        Assert.True(state.MustEnd);
    }

    [Fact]
    public void Other_control_tokens_pass_through_free_text_only_when_asked_for()
    {
        foreach (bool allowed in (bool[])[false, true])
        {
            ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromParts(ConstraintPart.FreeText([new("<|to|>", null, IsControlToken: true)], allowsControlTokens: allowed)));
            Assert.True(state.TryAccept(ConstraintTesting.TokenOf("hello")));
            Assert.Equal(allowed, ConstraintTesting.AllowedTokens(state).Contains(ConstraintTesting.ToolToken));
            Assert.Equal(allowed, state.TryAccept(ConstraintTesting.ToolToken));
            Assert.True(state.IsComplete);
        }
    }

    [Fact]
    public void A_control_token_that_the_vocabulary_lacks_is_refused_when_the_sequence_begins()
    {
        CompiledConstraint named = CompiledConstraint.FromParts(ConstraintPart.ControlToken("<|absent|>"));
        Assert.Equal("<|absent|>", Assert.Throws<ConstraintException>(() => ConstraintTesting.Start(named)).Path);
        CompiledConstraint until = CompiledConstraint.FromParts(ConstraintPart.TextUntil("<|absent|>", isControlToken: true));
        Assert.Throws<ConstraintException>(() => ConstraintTesting.Start(until));
    }

    public static TheoryData<string, CompiledConstraint> Texts => new()
    {
        { "free", Auto(resumes: true) },
        { "until", CompiledConstraint.FromParts(ConstraintPart.TextUntil("\n</")) },
        { "other control tokens", CompiledConstraint.FromParts(ConstraintPart.FreeText([new("{\"", null)], allowsControlTokens: true)) },
        { "any", CompiledConstraint.FromRegex("[\\s\\S]*") },
        { "lines", CompiledConstraint.FromGbnf("root ::= ([^\\n]{0,9} \"\\n\")+") },
        { "line", CompiledConstraint.FromGbnf("root ::= [^\\n]* \"\\n\" .*") },
        { "almost plain", CompiledConstraint.FromRegex("[^\"\\\\\\x00-\\x1F\\u{10000}]*") },
        { "letters", CompiledConstraint.FromRegex("[a-z ]*[.]") },
        { "words", CompiledConstraint.FromRegex("(\\p{L}+ ){1,5}") },
        { "bounded", CompiledConstraint.FromGbnf("root ::= [^\\n]{1,25} \"\\n\"") },
        { "bounded below", CompiledConstraint.FromGbnf("root ::= [a-z ]{30,32} \"\\n\" [^\\n]{20,90}") },
        { "bounded string", CompiledConstraint.FromJsonSchema("""{"type":"string","minLength":20,"maxLength":60}""") },
        { "nested bounds", CompiledConstraint.FromGbnf("root ::= ([^\\n]{18,24} \"\\n\"){17,40}") },
    };

    [Theory]
    [MemberData(nameof(Texts))]
    public void Masks_of_text_that_is_judged_in_bulk_equal_those_judged_one_by_one(string name, CompiledConstraint constraint)
    {
        for (int seed = 0; seed < 4; seed++)
        {
            Random random = new(seed);
            ConstraintState state = ConstraintTesting.Start(constraint);
            for (int step = 0; step < 40 && !state.MustEnd; step++)
            {
                List<int> allowed = ConstraintTesting.AllowedTokens(state);
                List<int> accepted = [.. Enumerable.Range(0, ConstraintTesting.Vocabulary.VocabularySize).Where(state.IsTokenAllowed)];
                Assert.True(allowed.SequenceEqual(accepted), $"{name}, seed {seed}, step {step}");
                allowed.Remove(ConstraintTesting.EndToken);
                if (allowed.Count == 0)
                    break;
                Assert.True(state.TryAccept(allowed[random.Next(allowed.Count)]));
            }
        }
    }
}
