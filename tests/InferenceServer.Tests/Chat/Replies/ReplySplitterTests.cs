using System.Text.Json;
using InferenceServer.Chat.Replies;

namespace InferenceServer.Tests.Chat.Replies;

public class ReplySplitterTests
{
    private static readonly ReplyFormat Hermes = new() { Calls = [KnownReplyFormats.Generic], Reasoning = new("<think>", "</think>") };
    private static readonly ReplyFormat Llama = new() { Calls = [ToolCallFormat.Parse("llama", """{"name": "$name", "parameters": $arguments}""")] };

    private static readonly ReplyFormat Coder = new()
    {
        Calls = [KnownReplyFormats.FindCalls("<tool_call> <function=")!],
    };

    private static readonly ReplyFormat List = new() { Calls = [KnownReplyFormats.FindCalls("[TOOL_CALLS]")!] };

    private static ReplyFormat Known(string source) => new() { Calls = [KnownReplyFormats.FindCalls(source)!] };

    public static TheoryData<string> KnownMarkers => new(
        "<seed:tool_call> <function=", "<tool_call> <function=", "<tool_call> <arg_key>", "<minimax:tool_call>", "[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]",
        "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜> ```json", "<｜tool▁calls▁begin｜>", "<|tool_call_start|>", "<|START_ACTION|>", "Action: tool_name",
        "<start_function_call>", "<|tool_call>call:", "<|action_start|><|plugin|>", "<TOOLCALL>", "<tool_calls>", "<|tool_call|> <|/tool_call|>", "<|tool_call|>",
        "functools[", "<function_calls>", ">>> all\n", "<tool_call>", "<function=", "<|python_tag|>");

    [Theory]
    [MemberData(nameof(KnownMarkers))]
    public void Calls_in_every_known_format_are_read_byte_by_byte(string markers)
    {
        ReplyFormat format = Known(markers);
        bool parallel = format.Calls[0].Name != "llama-3";
        foreach (IReadOnlyList<(string Name, string Arguments)> calls in (IReadOnlyList<(string, string)>[])
            [SampleCalls.One, SampleCalls.Nested, SampleCalls.Empty, SampleCalls.Unicode, SampleCalls.Escapes, parallel ? SampleCalls.Parallel : SampleCalls.One])
        {
            string reply = CallWriter.Write(format.Calls[0], [.. calls.Select((call, i) => (call.Name, $"id{i:0000000}", JsonDocument.Parse(call.Arguments).RootElement))]);
            foreach ((bool constrained, int piece) in ((bool, int)[])[(false, 1), (true, 1), (false, 7), (true, 1000)])
            {
                ReplyParts parts = ReplyParts.Of(format, reply, SampleCalls.Tools, constrained: constrained, piece: piece);
                Assert.True(parts.Has(calls) && parts.Content == "", $"{parts}\nfrom {reply}");
            }
        }
    }

    [Fact]
    public void Text_around_calls_is_content_without_the_white_space_that_parts_it_from_them()
    {
        ReplyParts parts = ReplyParts.Of(Hermes, "Let me look.\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n", SampleCalls.Tools);
        Assert.Equal("Let me look.", parts.Content);
        Assert.True(parts.Has(SampleCalls.Empty));
        parts = ReplyParts.Of(Hermes, "<tool_call>{\"arguments\":{},\"name\":\"now\"}</tool_call>\n\nDone. ", SampleCalls.Tools);
        Assert.Equal("Done. ", parts.Content);
        Assert.True(parts.Has(SampleCalls.Empty));
    }

    [Theory]
    [InlineData("<tool_call>")]
    [InlineData("<tool_call>\nnot json</tool_call>")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": [1]}</tool_call>")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": }}</tool_call>")]
    [InlineData("<tool_call>{\"name\": \"nobody\", \"arguments\": {}}</tool_call>")]
    [InlineData("<tool_call>{\"name\": 7, \"arguments\": {}}</tool_call>")]
    [InlineData("<tool_call>{\"arguments\": {}}</tool_call>")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"cut")]
    [InlineData("a < b, <tool, <tool_calls> and </tool_call> \n  ")]
    [InlineData("<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"\\x\"}}</tool_call> and on")]
    public void What_is_no_call_comes_out_as_content_unchanged(string reply)
    {
        ReplyParts parts = ReplyParts.Of(Hermes, reply, SampleCalls.Tools);
        Assert.Equal(reply, parts.Content);
        Assert.Empty(parts.Calls);
    }

    [Fact]
    public void A_malformed_call_does_not_take_the_next_one_with_it()
    {
        ReplyParts parts = ReplyParts.Of(Hermes, "<tool_call>{\"name\": oops <tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", SampleCalls.Tools);
        Assert.Equal("<tool_call>{\"name\": oops", parts.Content);
        Assert.True(parts.Has(SampleCalls.Empty));
        parts = ReplyParts.Of(List, """[TOOL_CALLS][{"name": "now", "arguments": {}}, {"name": "now", "arguments": 5}] x""", SampleCalls.Tools);
        Assert.Equal("""{"name": "now", "arguments": 5}] x""", parts.Content.TrimStart(',', ' '));
        Assert.True(parts.Has(SampleCalls.Empty));
    }

    [Theory]
    [InlineData("""<tool_call> {"name":"get_weather","parameters":{"city":"Oslo","days":2}} </tool_call>""")]
    [InlineData("""<tool_call>{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}}</tool_call>""")]
    [InlineData("""<tool_call>{"function": "get_weather", "id": 3, "arguments": "{\"city\": \"Oslo\", \"days\": 2}"}""")]
    [InlineData("""<tool_call>{"arguments": {"days": 2, "city": "Oslo"}, "x": {"name": [1, null]}, "name": "get_weather"}""")]
    public void Usual_variations_of_a_call_are_read(string reply)
    {
        ReplyParts parts = ReplyParts.Of(Hermes, reply, SampleCalls.Tools);
        Assert.True(parts.Has(SampleCalls.One) && parts.Content == "", parts.ToString());
    }

    [Theory]
    [InlineData("<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>")]
    [InlineData("<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>")]
    [InlineData("<tool_call><function=get_weather><parameter=city>Oslo</parameter> <parameter=days>2</parameter></function></tool_call>")]
    [InlineData("<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>")]
    public void Tags_may_be_left_out_and_set_otherwise(string reply)
    {
        ReplyParts parts = ReplyParts.Of(Coder, reply, SampleCalls.Tools);
        Assert.True(parts.Has(SampleCalls.One) && parts.Content == "", parts.ToString());
    }

    [Fact]
    public void Values_without_quotes_are_what_the_schema_says()
    {
        static string Parameter(string key, string value) => $"<parameter={key}>\n{value}\n</parameter>\n";
        string reply = "<tool_call>\n<function=other-fn>\n" + Parameter("city", "123") + Parameter("days", "7") + Parameter("flag", "True") + Parameter("code", "true")
            + Parameter("unit", "7") + Parameter("nothing", "null") + Parameter("obj", "{'a': None}") + Parameter("text", "\n\n") + Parameter("free", "[1, 2]") + Parameter("word", "hi")
            + "</function>\n</tool_call>";
        ReplyParts parts = ReplyParts.Of(Coder, reply, SampleCalls.Tools);
        Assert.True(parts.Has([("other-fn", """
            {"city":"123","days":7,"flag":true,"code":"true","unit":7,"nothing":null,"obj":{"a":null},"text":"\n\n","free":[1,2],"word":"hi"}
            """)]), parts.ToString());
    }

    [Fact]
    public void Only_what_could_begin_a_marker_is_held_back()
    {
        ReplySplitter splitter = new(Hermes, new ReplySplitOptions { Tools = SampleCalls.Tools });
        Assert.Equal("abc", Feed(splitter, "abc"));
        Assert.Equal("", Feed(splitter, " \n"));
        Assert.Equal(" \nx", Feed(splitter, "x<tool"));
        Assert.Equal("<toolbox <t>", Feed(splitter, "box <t><"));
        Assert.Equal("<", Feed(splitter, null));

        splitter = new(Hermes, new ReplySplitOptions());
        Assert.Equal("no tools: <tool_call> \n", Feed(splitter, "no tools: <tool_call> \n"));
    }

    [Fact]
    public void Arguments_of_constrained_calls_are_passed_on_as_they_come()
    {
        foreach ((ReplyFormat format, string begin, string first, string second) in ((ReplyFormat, string, string, string)[])
            [(Hermes, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"ci", "{\"ci", "ty\": \"Os"),
             (Llama, "{\"name\": \"get_weather\", \"parameters\": {\"ci", "{\"ci", "ty\": \"Os"),
             (Coder, "<tool_call>\n<function=get_weather>\n<parameter=city>\nOs", "{\"city\":\"Os", "lo \\\"x\\\"")])
        {
            ReplySplitter splitter = new(format, new ReplySplitOptions { Tools = SampleCalls.Tools, CallsAreConstrained = true });
            List<ReplyDelta> deltas = [];
            splitter.Append(begin, deltas);
            Assert.Equal([ReplyDeltaKind.CallBegin, ReplyDeltaKind.CallArguments], deltas.Select(delta => delta.Kind));
            Assert.Equal(("get_weather", first), (deltas[0].Text, deltas[1].Text));
            Assert.StartsWith("call_", deltas[0].Id, StringComparison.Ordinal);
            deltas.Clear();
            splitter.Append(format == Coder ? "lo \"x\"\n" : second, deltas);
            Assert.Equal([second], deltas.Select(delta => delta.Text));
        }
    }

    [Fact]
    public void A_call_without_marker_counts_at_the_start_only()
    {
        Assert.True(ReplyParts.Of(Llama, """ {"name": "now", "parameters": {}}""", SampleCalls.Tools).Has(SampleCalls.Empty));
        foreach (string text in (string[])["""So: {"name": "now", "parameters": {}}""", """{"name": "Bob", "age": 5}""", """{"age": {"name": "now"}}""", "{ a set }", "{"])
        {
            ReplyParts parts = ReplyParts.Of(Llama, text, SampleCalls.Tools, constrained: true);
            Assert.Equal((text, 0), (parts.Content, parts.Calls.Count));
        }
    }

    [Fact]
    public void Reasoning_is_told_from_content_and_may_be_followed_by_calls()
    {
        ReplyParts parts = ReplyParts.Of(Hermes, "<think>\nI could <tool_call>{\"name\": \"now\"} or\nnot.\n</think>\n\nYes <think> no.", SampleCalls.Tools);
        Assert.Equal(("I could <tool_call>{\"name\": \"now\"} or\nnot.", "Yes <think> no."), (parts.Reasoning, parts.Content));
        Assert.Empty(parts.Calls);
        parts = ReplyParts.Of(Hermes, "thought\n</think>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}", SampleCalls.Tools, ReplyOpening.Reasoning);
        Assert.Equal(("thought", ""), (parts.Reasoning, parts.Content));
        Assert.True(parts.Has(SampleCalls.Empty));
        parts = ReplyParts.Of(Hermes, "<think>again</th", [], ReplyOpening.Reasoning);
        Assert.Equal(("again</th", ""), (parts.Reasoning, parts.Content));
        parts = ReplyParts.Of(Hermes, "</think>\n\nAnswer", []);
        Assert.Equal(("", "Answer"), (parts.Reasoning, parts.Content));
    }

    [Fact]
    public void Tokens_of_reasoning_are_counted_with_their_markers()
    {
        ReplySplitter splitter = new(Hermes, new ReplySplitOptions());
        List<ReplyDelta> deltas = [];
        foreach (string token in (string[])["<think>", "a", "b", "</think>", "c", "d"])
            splitter.Append(token, deltas);
        Assert.Equal(4, splitter.ReasoningTokens);
        Assert.False(splitter.IsReasoning);
    }

    [Fact]
    public void Harmony_channels_are_reasoning_content_and_calls()
    {
        ReplyFormat harmony = KnownReplyFormats.Harmony;
        ReplyParts parts = ReplyParts.Of(harmony, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>to=functions.now it is.", SampleCalls.Tools);
        Assert.Equal(("Hm.", "to=functions.now it is."), (parts.Reasoning, parts.Content));
        foreach (string call in (string[])
            ["<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>", " to=functions.get_weather<|channel|>commentary json<|message|>",
             "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>",
             "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather<|message|>"])
        {
            parts = ReplyParts.Of(harmony, call + SampleCalls.One[0].Arguments + "<|call|>", SampleCalls.Tools, constrained: true);
            Assert.True(parts.Has(SampleCalls.One), parts.ToString());
            Assert.Contains(parts.Content, (string[])["", "I look."]);
        }
    }

    [Fact]
    public void A_prompt_may_open_the_call_that_a_reply_begins_with()
    {
        ToolCallFormat call = KnownReplyFormats.FindCalls(">>> all\n")!;
        ReplyFormat format = new() { Calls = [call], PromptOpensCall = true, ContentOpen = ">>>all\n", Skipped = [">>>all\n"] };
        Assert.Equal(ReplyOpening.Call, format.OpeningOf("assistant\n\n>>>"));
        ReplyParts parts = ReplyParts.Of(format, "all\nLet me see.>>>get_weather\n{\"city\": \"Oslo\", \"days\": 2}", SampleCalls.Tools, ReplyOpening.Call);
        Assert.Equal("Let me see.", parts.Content);
        Assert.True(parts.Has(SampleCalls.One));
        Assert.True(ReplyParts.Of(format, "now\n{}", SampleCalls.Tools, ReplyOpening.Call).Has(SampleCalls.Empty));
    }

    [Fact]
    public void Any_text_at_all_is_split_without_loss_or_fault()
    {
        // Pieces of markers in any order: nothing throws, and what is no call, marker or white space around them comes out.
        string[] words = ["<tool_call>", "</tool_call>", "\n", "{\"name\": \"now\"", ", \"arguments\": {}}", "<function=now>", "<parameter=city>", "</parameter>", "</function>", "x", " ", "<", "\""];
        Random random = new(7);
        for (int round = 0; round < 500; round++)
        {
            string reply = string.Concat(Enumerable.Range(0, random.Next(1, 12)).Select(_ => words[random.Next(words.Length)]));
            foreach (ReplyFormat format in (ReplyFormat[])[Hermes, Coder, Llama])
            {
                ReplyParts whole = ReplyParts.Of(format, reply, SampleCalls.Tools, piece: 10_000);
                ReplyParts bytes = ReplyParts.Of(format, reply, SampleCalls.Tools);
                Assert.Equal(whole.ToString(), bytes.ToString());
                if (whole.Calls.Count == 0)
                    Assert.Equal(reply, whole.Content);
            }
        }
    }

    private static string Feed(ReplySplitter splitter, string? text)
    {
        List<ReplyDelta> deltas = [];
        if (text is null)
            splitter.Finish(deltas);
        else
            splitter.Append(text, deltas);
        Assert.All(deltas, delta => Assert.Equal(ReplyDeltaKind.Content, delta.Kind));
        return string.Concat(deltas.Select(delta => delta.Text));
    }
}
