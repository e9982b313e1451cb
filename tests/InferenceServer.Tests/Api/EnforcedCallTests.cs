using InferenceServer.Chat.Replies;
using InferenceServer.Tests.Engine.Constraints;

namespace InferenceServer.Tests.Api;

/// <summary>Calls over HTTP on a random model, which pushes against the grammar at every token: what is required must come out, whole and streamed.</summary>
public abstract class EnforcedCallTests(TinyServer server)
{
    private const string Weather =
        """{"type":"object","properties":{"city":{"type":"string","maxLength":9},"days":{"type":"integer","minimum":1,"maximum":99},"unit":{"enum":["c","f"]},"at":{"type":"array","items":{"type":"number","minimum":0,"maximum":9},"minItems":1,"maxItems":2}},"required":["city","days"],"additionalProperties":false}""";

    private const string Note = """{"type":"object","properties":{"code":{"type":"string","pattern":"^[a-c]{2}$"},"flag":{"type":"boolean"}},"required":["code"]}""";
    private const string Person = """{"type":"object","properties":{"age":{"type":"integer","minimum":0,"maximum":150}},"required":["age"],"additionalProperties":false}""";

    private static readonly Dictionary<string, string> Schemas = new() { ["weather"] = Weather, ["note"] = Note, ["now"] = "{\"maxProperties\":0}" };

    private static string Tools => "\"tools\":[" + string.Join(',', Tool("weather", Weather), Tool("note", Note), "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}") + "]";

    private static string Tool(string name, string schema) =>
        $"{{\"type\":\"function\",\"function\":{{\"name\":\"{name}\",\"description\":\"D\",\"strict\":true,\"parameters\":{schema}}}}}";

    private string Base => $"\"model\":\"{server.Model.Id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Answer\"}}],\"temperature\":2";

    private async Task<StreamedReply> AskAsync(string fields, bool stream)
    {
        string body = $"{{{Base},{fields}}}";
        if (!stream)
            return StreamedReply.OfWhole(await server.Host.PostJsonAsync("/v1/chat/completions", body));
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/chat/completions", $"{body[..^1]},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
        return StreamedReply.Of(await answer.Content.ReadAsStringAsync());
    }

    /// <summary>Whole calls obey; the last of a reply that was cut may be the beginning of one.</summary>
    private static void AssertCalls(StreamedReply reply, int least, int most)
    {
        Assert.InRange(reply.Calls.Count, least, most);
        Assert.Equal(reply.Calls.Count, reply.Calls.Select(call => call.Id).Distinct().Count());
        foreach ((string id, string name, string arguments) in reply.Finish == "length" ? reply.Calls.SkipLast(1) : reply.Calls)
        {
            Assert.StartsWith("call_", id, StringComparison.Ordinal);
            Assert.True(JsonWriting.IsJson(arguments) && SchemaValidator.IsValid(Schemas[name], arguments), $"{name} {arguments}");
        }
    }

    public static TheoryData<bool> WholeOrStreamed => [false, true];

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task A_required_call_comes_and_nothing_else(bool stream)
    {
        await Task.WhenAll(Enumerable.Range(0, 6).Select(async seed =>
        {
            StreamedReply reply = await AskAsync($"{Tools},\"tool_choice\":\"required\",\"seed\":{seed},\"max_tokens\":400", stream);
            AssertCalls(reply, 1, int.MaxValue);
            Assert.Equal("", reply.Content);
            Assert.Contains(reply.Finish, (string[])["tool_calls", "length"]);
        }));
    }

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task Without_parallel_calls_there_is_exactly_one(bool stream)
    {
        HashSet<string> names = [];
        foreach (StreamedReply reply in await Task.WhenAll(Enumerable.Range(0, 8).Select(seed =>
            AskAsync($"{Tools},\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"seed\":{seed},\"max_tokens\":2000{(seed % 2 == 0 ? "" : ",\"logit_bias\":{\"119\":100}")}", stream))))
        {
            AssertCalls(reply, 1, 1);
            Assert.Equal(("", "tool_calls"), (reply.Content, reply.Finish));
            names.Add(reply.Calls[0].Name);
        }

        Assert.True(names.Count > 1, "the model has no choice");
    }

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task A_named_function_is_called_once_and_allowed_ones_only(bool stream)
    {
        for (int seed = 0; seed < 3; seed++)
        {
            foreach (string name in Schemas.Keys)
            {
                StreamedReply named = await AskAsync($"{Tools},\"tool_choice\":{{\"type\":\"function\",\"function\":{{\"name\":\"{name}\"}}}},\"seed\":{seed},\"max_tokens\":2000", stream);
                AssertCalls(named, 1, 1);
                // As at OpenAI: the model was not asked whether to call.
                Assert.Equal((name, "stop"), (named.Calls[0].Name, named.Finish));
            }

            StreamedReply allowed = await AskAsync(
                $"{Tools},\"tool_choice\":{{\"type\":\"allowed_tools\",\"allowed_tools\":{{\"mode\":\"required\",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"note\"}}}}]}}}},\"parallel_tool_calls\":false,\"seed\":{seed},\"max_tokens\":2000", stream);
            AssertCalls(allowed, 1, 1);
            Assert.Equal("note", allowed.Calls[0].Name);
        }
    }

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task Beside_a_schema_the_reply_is_a_call_or_an_object(bool stream)
    {
        string format = $"\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"p\",\"schema\":{Person}}}}}";
        int calls = 0, objects = 0;
        foreach (StreamedReply reply in await Task.WhenAll(Enumerable.Range(0, 16).Select(seed =>
            AskAsync($"{Tools},{format},\"parallel_tool_calls\":false,\"seed\":{seed},\"max_tokens\":2000{(seed % 2 == 0 ? "" : ",\"logit_bias\":{\"123\":100}")}", stream))))
        {
            AssertCalls(reply, 0, 1);
            calls += reply.Calls.Count;
            if (reply.Calls.Count > 0)
                Assert.Equal(("", "tool_calls"), (reply.Content, reply.Finish));
            else
                Assert.True(SchemaValidator.IsValid(Person, reply.Content) && reply.Finish == "stop" && ++objects > 0, reply.Content);
        }

        Assert.True(calls > 0 && objects > 0, $"{calls} calls, {objects} objects");
    }

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task A_call_cut_by_max_tokens_says_length_and_gives_the_beginning_of_its_arguments(bool stream)
    {
        StreamedReply reply = await AskAsync($"{Tools},\"tool_choice\":{{\"type\":\"function\",\"function\":{{\"name\":\"weather\"}}}},\"seed\":3,\"max_tokens\":{CutAt}", stream);
        Assert.Equal(("length", "", "weather"), (reply.Finish, reply.Content, reply.Calls[0].Name));
        Assert.Matches("^({|$)", reply.Calls[0].Arguments);
        Assert.False(JsonWriting.IsJson(reply.Calls[0].Arguments));
    }

    /// <summary>Tokens, of a byte each, after which the arguments have begun and cannot be whole.</summary>
    protected abstract int CutAt { get; }

    [Theory]
    [MemberData(nameof(WholeOrStreamed))]
    public async Task With_auto_text_is_free_until_the_model_opens_a_call_and_then_the_call_obeys(bool stream)
    {
        // The bias makes a random model write the characters of the opening tag, and so now and then the tag.
        int calls = 0;
        foreach (StreamedReply reply in await Task.WhenAll(Enumerable.Range(0, 6).Select(seed =>
            AskAsync($"{Tools},\"seed\":{seed},\"max_tokens\":700,\"logit_bias\":{{\"60\":100,\"99\":100,\"62\":100}}", stream))))
        {
            AssertCalls(reply, 0, int.MaxValue);
            calls += reply.Calls.Count;
            Assert.NotEqual("", reply.Content);
        }

        Assert.True(calls > 0, "the model opened no call");
    }
}

/// <summary>Calls as JSON between tags.</summary>
[Collection(nameof(RunsAlone))]
public sealed class EnforcedJsonCallTests(EnforcedJsonCallTests.Server server) : EnforcedCallTests(server), IClassFixture<EnforcedJsonCallTests.Server>
{
    public sealed class Server : TinyServer
    {
        protected override string ChatTemplate => EnforcedTemplates.With("{% for t in m.tool_calls %}<c>{{ {'name': t.function.name, 'arguments': t.function.arguments}|tojson }}</c>{% endfor %}");
    }

    protected override int CutAt => 45;
}

/// <summary>Calls as parameters between tags, strings bare.</summary>
[Collection(nameof(RunsAlone))]
public sealed class EnforcedTaggedCallTests(EnforcedTaggedCallTests.Server server) : EnforcedCallTests(server), IClassFixture<EnforcedTaggedCallTests.Server>
{
    public sealed class Server : TinyServer
    {
        protected override string ChatTemplate => EnforcedTemplates.With(
            "{% for t in m.tool_calls %}<c>{{ t.function.name }}\n{% for k, v in t.function.arguments|items %}<p>{{ k }}</p><v>{{ v if v is string else v|tojson }}</v>\n{% endfor %}</c>{% endfor %}");
    }

    protected override int CutAt => 28;
}

/// <summary>Calls as Python writes them.</summary>
[Collection(nameof(RunsAlone))]
public sealed class EnforcedPythonCallTests(EnforcedPythonCallTests.Server server) : EnforcedCallTests(server), IClassFixture<EnforcedPythonCallTests.Server>
{
    public sealed class Server : TinyServer
    {
        protected override string ChatTemplate => EnforcedTemplates.With(
            "{% if m.tool_calls %}<c>[{% for t in m.tool_calls %}{{ t.function.name }}({% for k, v in t.function.arguments|items %}{{ k }}={{ \"'\" ~ v ~ \"'\" if v is string else v }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}{% endfor %}]</c>{% endif %}");
    }

    // Arguments pass on one by one.
    protected override int CutAt => 20;
}

internal static class EnforcedTemplates
{
    public static string With(string calls) => """
        {%- for m in messages %}{{ '[' ~ m.role ~ ']' }}{{ m.content or '' }}CALLS{{ '<|end|>' }}
        {%- endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}
        """.Replace("CALLS", $"{{% if m.tool_calls %}}{calls}{{% endif %}}", StringComparison.Ordinal);
}
