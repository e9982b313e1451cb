using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;
using InferenceServer.Engine.Constraints;
using InferenceServer.Tests.Engine.Constraints;

namespace InferenceServer.Tests.Chat.Replies;

/// <summary>Grammar and splitter must agree: whatever the grammar lets through is read back as calls that obey, in every notation.</summary>
public sealed class ReplyGrammarTests
{
    private const string Weather =
        """{"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":6},"days":{"type":"integer","minimum":1,"maximum":9},"unit":{"enum":["c","f",7]},"tags":{"type":"array","items":{"type":"string","maxLength":4},"maxItems":2},"deep":{"type":"object","properties":{"on":{"type":"boolean"},"note":{"type":["string","null"],"maxLength":3}},"required":["on"]}},"required":["city","days"]}""";

    private const string Note = """{"type":"object","properties":{"code":{"type":"string","pattern":"^[a-c]{2}$"},"flag":{"type":"boolean"},"nothing":{"type":"null"}},"required":["code","flag"],"additionalProperties":false}""";

    private static readonly Dictionary<string, string> Schemas = new() { ["get_weather"] = Weather, ["take.note-2"] = Note, ["now"] = "{\"type\":\"object\",\"properties\":{}}", ["mcp:files/größe_数"] = Note };

    private static IReadOnlyList<ToolSignature> Tools { get; } =
        [.. Schemas.Select(schema => new ToolSignature(schema.Key, JsonDocument.Parse(schema.Value).RootElement) { Path = $"tools.{schema.Key}" })];

    // Notations as templates write them; each name says which of the syntaxes it tries.
    private static readonly Dictionary<string, ReplyFormat> Formats = new()
    {
        ["hermes"] = new() { Reasoning = new("<think>", "</think>"), Calls = [KnownReplyFormats.FindCalls("<tool_call>")! with { Separator = "\n" }] },
        ["mistral list"] = new() { Calls = [KnownReplyFormats.FindCalls("[TOOL_CALLS]")!] },
        ["mistral"] = new() { Calls = [KnownReplyFormats.FindCalls("[TOOL_CALLS] [ARGS]")!] },
        ["qwen coder"] = new() { Reasoning = new("<think>", "</think>"), Calls = [KnownReplyFormats.FindCalls("<tool_call> <function=")!] },
        ["glm"] = new() { Calls = [KnownReplyFormats.FindCalls("<tool_call> <arg_key>")!] },
        ["minimax"] = new() { Calls = [KnownReplyFormats.FindCalls("<minimax:tool_call>")!] },
        ["kimi"] = new() { Calls = [KnownReplyFormats.FindCalls("<|tool_calls_section_begin|>")!] },
        ["lfm"] = new() { Calls = [KnownReplyFormats.FindCalls("<|tool_call_start|>")!] },
        ["gemma"] = new() { Calls = [KnownReplyFormats.FindCalls("<start_function_call>")!] },
        ["command-r"] = new() { Calls = [KnownReplyFormats.FindCalls("Action: tool_name")!] },
        ["functools"] = new() { Calls = [KnownReplyFormats.FindCalls("functools[")!] },
        ["functionary"] = new() { Calls = [KnownReplyFormats.FindCalls(">>> all\n")!], PromptOpensCall = true, ContentOpen = ">>>all\n", Skipped = [">>>all\n"], ParallelCalls = true },
        ["llama"] = new() { Calls = [.. LlamaCalls()] },
        ["harmony"] = KnownReplyFormats.Harmony,
    };

    private static IEnumerable<ToolCallFormat> LlamaCalls()
    {
        ToolCallFormat call = KnownReplyFormats.FindCalls("<|python_tag|>")!;
        return [call, .. KnownReplyFormats.AlsoRead(call, "<|python_tag|>")];
    }

    public static TheoryData<string> Names => new(Formats.Keys);

    private static ReplyOpening OpeningOf(ReplyFormat format) => format.PromptOpensCall ? ReplyOpening.Call : ReplyOpening.None;

    private static CompiledConstraint Compile(ReplyFormat format, ReplyRules rules) =>
        CompiledConstraint.FromParts(new ReplyGrammar(format, rules, [], ["<|call|>"]).Build(CancellationToken.None));

    private static ReplyParts Split(ReplyFormat format, string reply, ReplyOpening opening, bool content = false)
    {
        int ids = 0;
        ReplySplitter splitter = new(format, new ReplySplitOptions { Tools = Tools, Opening = opening, CallsAreConstrained = true, ContentIsConstrained = content, NewCallId = () => $"call_{ids++}" });
        List<ReplyDelta> deltas = [];
        foreach (Rune rune in reply.EnumerateRunes())
            splitter.Append(rune.ToString(), deltas);
        splitter.Finish(deltas);
        return ReplyParts.Assemble(deltas);
    }

    private static void AssertValid(ReplyParts parts, string reply)
    {
        foreach ((string name, string arguments) in parts.Calls)
        {
            Assert.True(JsonWriting.IsJson(arguments), $"{arguments}\n    of {reply}");
            Assert.True(SchemaValidator.IsValid(Schemas[name], arguments), $"{name} {arguments}\n    of {reply}");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_required_call_is_read_back_and_obeys_its_schema(string name)
    {
        ReplyFormat format = Formats[name];
        foreach (bool many in (bool[])[true, false])
        {
            CompiledConstraint constraint = Compile(format, new ReplyRules { Tools = Tools, MustCall = true, ManyCalls = many, Opening = OpeningOf(format), ReasoningIsOver = true });
            for (int seed = 0; seed < 40; seed++)
            {
                string reply = ConstraintTesting.RandomWalk(constraint, new Random(seed), patience: 250, limit: 20_000);
                ReplyParts parts = Split(format, reply, OpeningOf(format));
                Assert.True(parts.Calls.Count >= 1 && (many || parts.Calls.Count == 1) && parts.Content.Length == 0, $"seed {seed}: {parts}\n    of {reply}");
                AssertValid(parts, reply);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_the_writer_writes_passes_the_grammar_and_what_breaks_the_schema_does_not(string name)
    {
        ReplyFormat format = Formats[name];
        ToolCallFormat call = format.Calls[0];
        string Reply(string function, string arguments)
        {
            string text = CallWriter.Write(call, [(function, "abcdef123", JsonDocument.Parse(arguments).RootElement)]).TrimStart();
            text = text.Replace("<|call|>", "", StringComparison.Ordinal);
            return format.PromptOpensCall ? text[call.Open.Length..] : text;
        }

        foreach (ReplyRules rules in (ReplyRules[])[new() { Tools = Tools, MustCall = true, Opening = OpeningOf(format) }, new() { Tools = Tools, Opening = OpeningOf(format) }])
        {
            CompiledConstraint constraint = Compile(format, rules);
            foreach ((string function, string arguments, bool obeys) in ((string, string, bool)[])
                [("get_weather", """{"city":"Os","days":2}""", true), ("get_weather", """{"city":"a b","days":9,"unit":"f"}""", true), ("now", "{}", true),
                 ("take.note-2", """{"code":"ab","flag":true}""", true), ("mcp:files/größe_数", """{"code":"ab","flag":true}""", true), ("take.note-2", """{"code":"ab","flag":false,"nothing":null}""", true),
                 ("get_weather", """{"city":"x","days":10}""", false), ("get_weather", """{"city":"x"}""", false), ("take.note-2", """{"code":"abc","flag":true}""", false),
                 ("other", "{}", false), ("now", """{"x":1}""", false)])
            {
                string reply = Reply(function, arguments);
                Assert.True(obeys == ConstraintTesting.Accepts(constraint, reply), $"{(rules.MustCall ? "required" : "auto")} {(obeys ? "refuses" : "passes")} {reply}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Left_alone_a_model_says_anything_and_its_calls_obey(string name)
    {
        ReplyFormat format = Formats[name];
        foreach (bool many in (bool[])[true, false])
        {
            CompiledConstraint constraint = Compile(format, new ReplyRules { Tools = Tools, ManyCalls = many, Opening = OpeningOf(format) });
            string start = format.PromptOpensCall ? "all\n" : "";
            foreach (string text in (string[])["", "Just text, with { braces }, <tags> and \"quotes\".", "{\"age\": 3}", "{ \"nam", "日本 <tool", "Act"])
            {
                Assert.True(ConstraintTesting.Accepts(constraint, start + text), text);
                Assert.Equal(text, Split(format, start + text, OpeningOf(format)).Content);
            }

            // Text of pieces of markers at random: it may be cut off anywhere, and whatever calls there are obey.
            for (int seed = 0; seed < 30; seed++)
            {
                string reply = MarkerWalk(constraint, format, new Random(seed));
                ReplyParts parts = Split(format, reply, OpeningOf(format));
                Assert.True(many || parts.Calls.Count <= 1, $"seed {seed}: {parts}\n    of {reply}");
                AssertValid(parts, reply);
            }
        }
    }

    [SkippableFact]
    public void The_formats_of_real_templates_are_enforced_and_what_they_print_passes()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        StringBuilder faults = new();
        foreach (string file in Directory.GetFiles(folder!, "*.jinja").Order())
        {
            string name = Path.GetFileNameWithoutExtension(file);
            ChatTemplate template = ChatTemplate.Parse(File.ReadAllText(file));
            ReplyFormat format = ReplyFormatProbe.Learn(template);
            ProbeRenderer render = new(template);
            ReplyOpening opening = format.OpeningOf(render.Prompt) == ReplyOpening.Call ? ReplyOpening.Call : ReplyOpening.None;
            CompiledConstraint required = CompiledConstraint.FromParts(new ReplyGrammar(format,
                new ReplyRules { Tools = Tools, MustCall = true, ManyCalls = false, Opening = opening, ReasoningIsOver = true }, [], TemplateRoundTripTests.Ends).Build(CancellationToken.None));
            for (int seed = 0; seed < 5; seed++)
            {
                string reply = ConstraintTesting.RandomWalk(required, new Random(seed), patience: 250, limit: 20_000);
                ReplyParts parts = Split(format, reply, opening);
                if (parts.Calls.Count != 1 || parts.Content.Length > 0 || !JsonWriting.IsJson(parts.Calls[0].Arguments) || !SchemaValidator.IsValid(Schemas[parts.Calls[0].Name], parts.Calls[0].Arguments))
                    faults.AppendLine($"{name}, seed {seed}: {parts}\n    of {reply}");
            }

            foreach (string arguments in (string[])["""{"city": "Oslo", "days": 2}""", """{"city": "A b", "days": 3, "unit": "c"}"""])
            {
                TemplateValue Calls(bool asText) => new TemplateList([ProbeCall.Call("get_weather", "callid001",
                    asText ? arguments : TemplateValue.FromJson(JsonDocument.Parse(arguments).RootElement))]).Freeze();
                string? turn = render.CallTurn(Calls(asText: false)) ?? render.CallTurn(Calls(asText: true));
                if (turn is null || !turn.Contains("get_weather", StringComparison.Ordinal))
                    continue;
                string reply = TemplateRoundTripTests.ReplyOf(render.Prompt, turn).TrimStart();
                CompiledConstraint auto = CompiledConstraint.FromParts(new ReplyGrammar(format,
                    new ReplyRules { Tools = Tools, Opening = turn.StartsWith(render.Prompt, StringComparison.Ordinal) ? format.OpeningOf(render.Prompt) : ReplyOpening.None }, [], TemplateRoundTripTests.Ends).Build(CancellationToken.None));
                if (!ConstraintTesting.Accepts(auto, reply))
                    faults.AppendLine($"{name} refuses {JsonSerializer.Serialize(reply)}, calls {string.Concat(format.Calls[0].Pieces)}, section {format.Calls[0].SectionOpen} {format.Calls[0].SectionClose}");
            }
        }

        Assert.True(faults.Length == 0, faults.ToString());
    }

    /// <summary>Throws markers and what they hold at a constraint and keeps what it accepts; where nothing fits, whatever single token does.</summary>
    private static string MarkerWalk(CompiledConstraint constraint, ReplyFormat format, Random random)
    {
        string[] pieces = [.. format.Markers().Where(marker => marker.Length > 0), .. format.Markers().SelectMany(MarkerText.Tokens), "{\"name\": \"", "now", "get_weather", "{}", " ", "\n", "text"];
        ConstraintState state = ConstraintTesting.Start(constraint);
        StringBuilder reply = new();
        for (int step = 0; step < 400 && !state.MustEnd; step++)
        {
            if (step > 60 && state.IsComplete)
                break;
            string piece = pieces[random.Next(pieces.Length)];
            byte[] bytes = Encoding.UTF8.GetBytes(piece);
            // What does not fit as a whole is tried on another state, since a state does not go back.
            ConstraintState tried = ConstraintTesting.After(constraint, reply.ToString());
            bool fits = bytes.All(value => tried.TryAccept(ConstraintTesting.TokenOfByte(value)));
            if (fits)
            {
                state = tried;
                reply.Append(piece);
            }

            if (fits || random.Next(4) > 0)
                continue;
            List<int> ascii = [.. ConstraintTesting.AllowedTokens(state).Where(token => ConstraintTesting.TokenBytes[token] is [< 128])];
            if (ascii.Count == 0)
                continue;
            int chosen = ascii.Find(token => ConstraintTesting.TokenBytes[token][0] is (byte)'"' or (byte)'}' or (byte)'<') is > 1 and var closing && random.Next(2) == 0 ? closing : ascii[random.Next(ascii.Count)];
            Assert.True(state.TryAccept(chosen));
            reply.Append((char)ConstraintTesting.TokenBytes[chosen][0]);
        }

        return state.IsComplete ? reply.ToString() : "";
    }

    [Fact]
    public void Reasoning_may_come_first_and_the_constraint_starts_after_it()
    {
        ReplyFormat hermes = Formats["hermes"];
        ConstraintPart content = ConstraintPart.JsonSchema(Note);
        const string Json = """{"code":"ab","flag":true}""", Call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
        CompiledConstraint schema = Compile(hermes, new ReplyRules { Content = content });
        foreach ((string reply, bool obeys) in ((string, bool)[])
            [(Json, true), ("<think>any { thing</think>\n\n" + Json, true), ("<think></think>" + Json, true), ("<think>" + Json, false), ("text " + Json, false), ("<think>x</think>text", false), ("", false)])
            Assert.True(obeys == ConstraintTesting.Accepts(schema, reply), reply);
        ReplyParts parts = Split(hermes, "<think>any { thing</think>\n\n" + Json, ReplyOpening.None, content: true);
        Assert.Equal(("any { thing", Json), (parts.Reasoning, parts.Content));

        CompiledConstraint opened = Compile(hermes, new ReplyRules { Content = content, Opening = ReplyOpening.Reasoning });
        Assert.True(ConstraintTesting.Accepts(opened, "hm</think>\n" + Json));
        Assert.False(ConstraintTesting.Accepts(opened, Json));
        CompiledConstraint over = Compile(hermes, new ReplyRules { Content = content, ReasoningIsOver = true });
        Assert.False(ConstraintTesting.Accepts(over, "<think>x</think>" + Json));

        CompiledConstraint either = Compile(hermes, new ReplyRules { Content = content, Tools = Tools });
        foreach ((string reply, bool obeys) in ((string, bool)[])[(Json, true), (Call, true), ("<think>x</think>\n\n" + Call + "\n" + Call, true), (Json + Call, false), (Call + Json, false), ("text", false)])
            Assert.True(obeys == ConstraintTesting.Accepts(either, reply), reply);
        Assert.True(ConstraintTesting.Accepts(Compile(hermes, new ReplyRules { Tools = Tools, MustCall = true }), "<think>x</think>\n" + Call));
    }

    [Fact]
    public void Harmony_reasons_then_calls_or_answers()
    {
        const string Thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant";
        ReplyFormat harmony = KnownReplyFormats.Harmony;
        CompiledConstraint required = Compile(harmony, new ReplyRules { Tools = Tools, MustCall = true });
        const string Call = "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}";
        Assert.True(ConstraintTesting.Accepts(required, Call));
        Assert.True(ConstraintTesting.Accepts(required, Thought + Call));
        Assert.False(ConstraintTesting.Accepts(required, "<|channel|>final<|message|>Hi"));
        CompiledConstraint answer = Compile(harmony, new ReplyRules { Content = ConstraintPart.JsonSchema(Note) });
        Assert.True(ConstraintTesting.Accepts(answer, Thought + "<|channel|>final<|message|>{\"code\":\"ab\",\"flag\":true}"));
        Assert.False(ConstraintTesting.Accepts(answer, "{\"code\":\"ab\",\"flag\":true}"));
        CompiledConstraint auto = Compile(harmony, new ReplyRules { Tools = Tools });
        foreach ((string reply, bool obeys) in ((string, bool)[])
            [(Thought + "<|channel|>final<|message|>Hi there", true), (Thought + Call, true), (Thought + " to=functions.now <|constrain|>json<|message|>{}", true),
             ("<|channel|>commentary<|message|>I look.<|end|><|start|>assistant" + Call, true), ("<|channel|>commentary to=functions.other", false), (Call + "x", false)])
            Assert.True(obeys == ConstraintTesting.Accepts(auto, reply), reply);
    }

    [Fact]
    public void A_schema_that_cannot_be_enforced_is_named_by_its_tool()
    {
        static ConstraintException Refused(ReplyFormat format, string schema) => Assert.Throws<ConstraintException>(() => new ReplyGrammar(format,
            new ReplyRules { Tools = [Tools[0], new("bad", JsonDocument.Parse(schema).RootElement) { Path = "tools[1].function.parameters" }] }, [], []).Build(CancellationToken.None));
        foreach (string name in (string[])["hermes", "qwen coder", "lfm"])
        {
            ConstraintException error = Refused(Formats[name], """{"type":"object","properties":{"x":{"type":"string","pattern":"(?=a)"}}}""");
            Assert.Equal(("tools[1].function.parameters", "#/properties/x/pattern"), (error.Part, error.Path));
            Assert.Equal("#", Refused(Formats[name], """{"type":"string"}""").Path);
        }

        Assert.Equal("#/properties/a=b", Refused(Formats["lfm"], """{"type":"object","properties":{"a=b":{}}}""").Path);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_schema_that_need_not_be_exact_is_loosened_where_it_must_be(string name)
    {
        const string schema = """{"type":"object","properties":{"a":{"type":"string","pattern":"(?=x)"},"b":{"type":"integer","minimum":3},"c":{"type":"array","uniqueItems":true}},"required":["b"]}""";
        ToolSignature loose = new("files", JsonDocument.Parse(schema).RootElement) { Path = "tools[0].function.parameters", IsExact = false };
        ReplyFormat format = Formats[name];
        ReplyGrammar grammar = new(format, new ReplyRules { Tools = [loose], MustCall = true, Opening = OpeningOf(format), ReasoningIsOver = true }, [], ["<|call|>"]);
        CompiledConstraint constraint = CompiledConstraint.FromParts(grammar.Build(CancellationToken.None));
        Assert.Equal(["tools[0].function.parameters.properties.a.pattern", "tools[0].function.parameters.properties.c.uniqueItems"], grammar.Loosened.Order());
        foreach ((string arguments, bool obeys) in ((string, bool)[])[("""{"b":3,"a":"y"}""", true), ("""{"b":2}""", false)])
        {
            string reply = CallWriter.Write(format.Calls[0], [("files", "abcdef123", JsonDocument.Parse(arguments).RootElement)]).TrimStart().Replace("<|call|>", "", StringComparison.Ordinal);
            Assert.Equal(obeys, ConstraintTesting.Accepts(constraint, format.PromptOpensCall ? reply[format.Calls[0].Open.Length..] : reply));
        }
    }

    [Fact]
    public void A_call_that_is_cut_off_gives_the_arguments_so_far()
    {
        foreach ((string name, string cut, string arguments) in ((string, string, string)[])
            [("hermes", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Os", "{\"city\": \"Os"), ("qwen coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nOs", "{\"city\":\"Os"),
             ("harmony", "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"ci", "{\"ci")])
        {
            ReplyParts parts = Split(Formats[name], cut, ReplyOpening.None);
            Assert.Equal(("", ("get_weather", arguments)), (parts.Content, Assert.Single(parts.Calls)));
            Assert.Equal("", Split(Formats[name], cut[..20], ReplyOpening.None).Content);
        }
    }
}
