using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Tests.Chat.Replies;

/// <summary>Formats are learned from the template alone: small ones written here in the notations of many models, some of them of no model at all.</summary>
public class ReplyFormatProbeTests
{
    private const string Frame = """
        {%- for m in messages %}{{ '[' ~ m.role ~ ']' }}
        {%- if m.role == 'assistant' %}{% if m.reasoning_content %}REASON{% endif %}{{ m.content or '' }}CALLS{% else %}{{ m.content }}{% endif %}{{ '<|end|>' }}
        {%- endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}
        """;

    private static ChatTemplate Template(string calls, string reasoning = "") =>
        ChatTemplate.Parse(Frame.Replace("REASON", reasoning, StringComparison.Ordinal).Replace("CALLS", "{% if m.tool_calls %}" + calls + "{% endif %}", StringComparison.Ordinal));

    public static TheoryData<string, string> Notations => new()
    {
        { "json between tags", "{% for t in m.tool_calls %}<tool_call>\n{{ {'name': t.function.name, 'arguments': t.function.arguments}|tojson }}\n</tool_call>{% endfor %}" },
        { "json between unknown tags", "{% for t in m.tool_calls %}<%do%>{{ t.function|tojson }}<%done%>\n{% endfor %}" },
        { "a list with ids", "[TOOL_CALLS][{% for t in m.tool_calls %}{\"name\": \"{{ t.function.name }}\", \"arguments\": {{ t.function.arguments|tojson }}, \"id\": \"{{ t.id }}\"}{% if not loop.last %}, {% endif %}{% endfor %}]" },
        { "name and arguments", "{% for t in m.tool_calls %}[TOOL_CALLS]{{ t.function.name }}[CALL_ID]{{ t.id }}[ARGS]{{ t.function.arguments|tojson }}{% endfor %}" },
        { "numbered actions", "<|START_ACTION|>[\n{% for t in m.tool_calls %}    {\"tool_call_id\": \"{{ loop.index0 }}\", \"tool_name\": \"{{ t.function.name }}\", \"parameters\": {{ t.function.arguments|tojson }}}{% if not loop.last %},{% endif %}\n{% endfor %}]<|END_ACTION|>" },
        { "a code block", "Action: ```json\n[\n{% for t in m.tool_calls %}    {\n        \"tool_name\": \"{{ t.function.name }}\",\n        \"parameters\": {{ t.function.arguments|tojson }}\n    }{% if not loop.last %},\n{% endif %}{% endfor %}\n]\n```" },
        { "whole openai calls", "{% for t in m.tool_calls %}<call>{{ t|tojson }}</call>{% endfor %}" },
        { "name as key", "<|tools|>[{% for t in m.tool_calls %}{ {{- t.function.name|tojson }}: {{ t.function.arguments|tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]<|done|>" },
        { "section with numbers", "<|calls_begin|>{% for t in m.tool_calls %}<|call_begin|>functions.{{ t.function.name }}:{{ loop.index0 }}<|args|>{{ t.function.arguments|tojson }}<|call_end|>{% endfor %}<|calls_end|>" },
        { "function tags", "{% for t in m.tool_calls %}<function={{ t.function.name }}>{{ t.function.arguments|tojson }}</function>{% endfor %}" },
        { "parameter tags", "{% for t in m.tool_calls %}<seed:call>\n<function={{ t.function.name }}>\n{% for k, v in t.function.arguments|items %}<parameter={{ k }}>{{ v if v is string else v|tojson }}</parameter>\n{% endfor %}</function>\n</seed:call>\n{% endfor %}" },
        { "keys and values", "{% for t in m.tool_calls %}<do>{{ t.function.name }}\n{% for k, v in t.function.arguments|items %}<k>{{ k }}</k>\n<v>{{ v if v is string else v|tojson }}</v>\n{% endfor %}</do>{% endfor %}" },
        { "typed tags", "<calls>{% for t in m.tool_calls %}<invoke name=\"{{ t.function.name }}\">{% for k, v in t.function.arguments|items %}<arg name=\"{{ k }}\" string=\"{{ 'true' if v is string else 'false' }}\">{{ v if v is string else v|tojson }}</arg>{% endfor %}</invoke>{% endfor %}</calls>" },
        { "python", "<|calls|>[{% for t in m.tool_calls %}{{ t.function.name }}({% for k, v in t.function.arguments|items %}{{ k }}={{ \"'\" ~ v ~ \"'\" if v is string else v }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}{% endfor %}]<|/calls|>" },
        { "arguments as text only", "{% for t in m.tool_calls %}{{ '>>' + t.function.name + ' ' + t.function.arguments + '<<' }}{% endfor %}" },
    };

    [Theory]
    [MemberData(nameof(Notations))]
    public void A_notation_is_learned_from_what_the_template_prints(string name, string calls)
    {
        ChatTemplate template = Template(calls, reasoning: "<mull>{{ m.reasoning_content }}</mull>\n");
        ReplyFormat format = ReplyFormatProbe.Learn(template);
        Assert.Equal("learned", format.Calls[0].Name);
        Assert.Equal(new ReasoningMarkers("<mull>", "</mull>"), format.Reasoning);
        bool asText = name == "arguments as text only";
        foreach (IReadOnlyList<(string Name, string Arguments)> sample in (IReadOnlyList<(string, string)>[])[SampleCalls.One, SampleCalls.Nested, SampleCalls.Empty, SampleCalls.Parallel])
        {
            string? turn = new ProbeRenderer(template).Turn("Well. ", "Hm.", new TemplateList(sample.Select((call, i) => ProbeCall.Call(call.Name, $"id{i}", asText
                ? call.Arguments
                : TemplateValue.FromJson(JsonDocument.Parse(call.Arguments).RootElement)))).Freeze());
            string reply = turn!["<|end|>[assistant]".Length..^"<|end|>".Length];
            foreach (bool constrained in (bool[])[false, true])
            {
                ReplyParts parts = ReplyParts.Of(format, reply, SampleCalls.Tools, constrained: constrained);
                Assert.True(parts.Has(sample) && (parts.Reasoning, parts.Content) == ("Hm.", "Well."), $"{parts}\nfrom {reply}");
            }

            // What is written in the learned format is what the template prints, but for white space.
            string written = CallWriter.Write(format.Calls[0], [.. sample.Select((call, i) => (call.Name, $"id{i}", JsonDocument.Parse(call.Arguments).RootElement))]);
            Assert.True(ReplyParts.Of(format, written, SampleCalls.Tools).Has(sample), written);
        }
    }

    [Theory]
    [InlineData("longcat", "<longcat_tool_call>{...}</longcat_tool_call>")]
    [InlineData("longcat-tagged", "<longcat_tool_call>name <longcat_arg_key>key</longcat_arg_key><longcat_arg_value>value</longcat_arg_value></longcat_tool_call>")]
    public void A_notation_that_a_template_names_is_written_and_read_back(string name, string instruction)
    {
        ReplyFormat format = ReplyFormatProbe.Learn(ChatTemplate.Parse($"{{{{ '{instruction}' }}}}{{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}"));
        Assert.Equal(name, format.Calls[0].Name);
        foreach (IReadOnlyList<(string Name, string Arguments)> sample in (IReadOnlyList<(string, string)>[])[SampleCalls.One, SampleCalls.Nested, SampleCalls.Empty, SampleCalls.Parallel, SampleCalls.Unicode])
        {
            string written = "Well." + CallWriter.Write(format.Calls[0], [.. sample.Select((call, i) => (call.Name, $"id{i}", JsonDocument.Parse(call.Arguments).RootElement))]);
            ReplyParts parts = ReplyParts.Of(format, written, SampleCalls.Tools);
            Assert.True(parts.Has(sample) && parts.Content == "Well.", $"{parts}\nfrom {written}");
        }
    }

    [Fact]
    public void Templates_without_tools_get_a_generic_notation_and_those_that_name_one_get_that()
    {
        ReplyFormat plain = ReplyFormatProbe.Learn(ChatTemplate.Parse("{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n' }}{% endfor %}"));
        Assert.Equal("generic", plain.Calls[0].Name);
        Assert.Null(plain.Reasoning);
        ReplyFormat named = ReplyFormatProbe.Learn(ChatTemplate.Parse("{{ 'Write <TOOLCALL>[...]</TOOLCALL>' }}{% for m in messages %}{{ m.content }}{% endfor %}"));
        Assert.Equal("nemotron", named.Calls[0].Name);
        Assert.Equal("learned", ReplyFormatProbe.Learn(BuiltinTemplates.ChatML).Calls[0].Name);
    }

    [Fact]
    public void The_end_of_a_prompt_tells_whether_a_reply_begins_in_its_reasoning()
    {
        ReplyFormat format = new() { Reasoning = new("<think>", "</think>") };
        Assert.Equal(ReplyOpening.Reasoning, format.OpeningOf("<|im_start|>assistant\n<think>\n"));
        Assert.Equal(ReplyOpening.None, format.OpeningOf("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
        Assert.Equal(ReplyOpening.None, format.OpeningOf("<|im_start|>assistant\n"));
    }

    [Fact]
    public void Markers_around_content_are_learned_and_skipped()
    {
        ChatTemplate template = ChatTemplate.Parse("""
            {%- for m in messages %}{{ '<|begin|>' ~ m.role }}
            {%- if m.role == 'assistant' %}{% if m.reasoning_content %}<|think|>{{ m.reasoning_content }}<|end|><|begin|>assistant{% endif %}
            {%- if m.tool_calls %}<|calls|>{% for t in m.tool_calls %}<|call|>{{ t.function|tojson }}<|/call|>{% endfor %}{% else %}<|say|>{{ m.content }}<|said|>{% endif %}
            {%- else %}<|say|>{{ m.content }}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|begin|>assistant{% endif %}
            """);
        ReplyFormat format = ReplyFormatProbe.Learn(template);
        Assert.Equal("<|say|>", format.ContentOpen);
        ReplyParts parts = ReplyParts.Of(format, "<|think|>Hm.<|end|><|begin|>assistant<|say|>Hello.<|said|>", SampleCalls.Tools);
        Assert.Equal(("Hm.", "Hello."), (parts.Reasoning, parts.Content));
        parts = ReplyParts.Of(format, "<|think|>Hm.<|end|><|begin|>assistant<|calls|><|call|>{\"name\": \"now\", \"arguments\": {}}<|/call|>", SampleCalls.Tools);
        Assert.True(parts.Has(SampleCalls.Empty) && parts.Content == "", parts.ToString());
    }
}
