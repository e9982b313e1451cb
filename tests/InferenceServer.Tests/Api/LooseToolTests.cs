using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Engine.Text;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

/// <summary>Tools as agents and tool servers send them: one odd schema or name must not end every request of a session.</summary>
public sealed class LooseToolTests
{
    private const string Schema = """{"type":"object","properties":{"id":{"type":"string","pattern":"^(?!x)"},"tags":{"type":"array","uniqueItems":true,"items":{"type":"string"}},"n":{"type":"integer"}},"required":["id"]}""";

    /// <summary>Route, and where its bodies have a tool's schema.</summary>
    public static TheoryData<string, string> Dialects => new()
    {
        { "/v1/chat/completions", "tools[0].function.parameters" },
        { "/v1/responses", "tools[0].parameters" },
        { "/v1/messages", "tools[0].input_schema" },
        { "/api/chat", "tools[0].function.parameters" },
    };

    private static string Body(string path, string name = "lookup", string schema = Schema, string extra = "", string choice = "auto")
    {
        string function = $"\"name\":\"{name}\",\"description\":\"D\"{extra}";
        return path switch
        {
            "/v1/responses" => $$$"""{"model":"scripted","input":"Hi","store":false,"tools":[{"type":"function",{{{function}}},"parameters":{{{schema}}}}],"tool_choice":"{{{choice}}}"}""",
            "/v1/messages" => $$$"""{"model":"scripted","max_tokens":50,"messages":[{"role":"user","content":"Hi"}],"tools":[{ {{{function}}},"input_schema":{{{schema}}} }],"tool_choice":{"type":"{{{(choice == "required" ? "any" : choice)}}}"}}""",
            "/api/chat" => $$$"""{"model":"scripted","stream":false,"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{ {{{function}}},"parameters":{{{schema}}} }}]}""",
            _ => $$$"""{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{ {{{function}}},"parameters":{{{schema}}} }}],"tool_choice":"{{{choice}}}"}""",
        };
    }

    private static Task<TestHost> StartAsync(ScriptedEngine engine, bool strict = false) =>
        TestHost.StartAsync(engine, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens), strict: strict);

    [Theory]
    [MemberData(nameof(Dialects))]
    public async Task What_cannot_be_enforced_is_left_open_in_its_place_and_told(string path, string place)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(path, Body(path));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        Assert.Equal($"{place}.properties.id.pattern, {place}.properties.tags.uniqueItems", answer.Headers.GetValues("x-loosened-schemas").Single());
        Assert.NotNull(engine.Submitted.Single().Request.Constraint);

        using HttpResponseMessage whole = await host.PostAsync(path, Body(path, schema: """{"type":"object","properties":{"a":{"type":"string"}}}"""));
        Assert.False(whole.Headers.Contains("x-loosened-schemas"));
    }

    [Theory]
    [MemberData(nameof(Dialects))]
    public async Task Where_the_request_insists_the_schema_is_refused_with_its_place(string path, string place)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await StartAsync(engine);
        List<string> insisting = [Body(path, extra: ",\"strict\":true")];
        if (path != "/api/chat")
            insisting.Add(Body(path, choice: "required"));
        string said = path == "/v1/messages" ? place.Replace("[0]", ".0", StringComparison.Ordinal) : place; // as its errors write places
        foreach (string body in insisting)
        {
            using HttpResponseMessage answer = await host.PostAsync(path, body);
            string text = await answer.Content.ReadAsStringAsync();
            Assert.Equal(400, (int)answer.StatusCode);
            Assert.Contains($"{said}.properties.id.pattern", text, StringComparison.Ordinal);
        }

        Assert.Empty(engine.Submitted);
        await using TestHost strict = await StartAsync(engine, strict: true);
        using HttpResponseMessage refused = await strict.PostAsync(path, Body(path));
        Assert.Equal(400, (int)refused.StatusCode);
        Assert.Contains($"{said}.properties.id.pattern", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Contains("strict", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Empty(engine.Submitted);
    }

    [Theory]
    [InlineData("mcp:files/read")]
    [InlineData("größe")]
    [InlineData("工具.一")]
    [InlineData("github@v2")]
    public async Task A_name_of_other_letters_and_signs_is_called_by_that_name(string name)
    {
        string call = $"<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{\"id\": \"7\"}}}}\n</tool_call>";
        foreach (string path in (string[])["/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"])
        {
            await using TestHost host = await StartAsync(new ScriptedEngine { Script = script => script.SayAsync(call) });
            using HttpResponseMessage answer = await host.PostAsync(path, Body(path, name));
            string text = await answer.Content.ReadAsStringAsync();
            Assert.True(answer.IsSuccessStatusCode, $"{path}: {text}");
            Assert.Contains($"\"{name}\"", System.Text.RegularExpressions.Regex.Replace(text, @"\\u([0-9A-Fa-f]{4})", m => ((char)Convert.ToInt32(m.Groups[1].Value, 16)).ToString()), StringComparison.Ordinal);
            Assert.Contains("7", text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("a\\\"b")]
    [InlineData("<f>")]
    [InlineData("")]
    public async Task A_name_that_no_notation_can_write_is_refused(string name)
    {
        await using TestHost host = await StartAsync(new ScriptedEngine());
        await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", Body("/v1/chat/completions", name)), 400, "tools[0].function.name", "invalid_value");
    }

    /// <summary>Guards against answers that come back empty, since the thinking before them held a stop string.</summary>
    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"stop":["x"]}""", true)]
    [InlineData("/v1/messages", """{"model":"scripted","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"stop_sequences":["x"]}""", true)]
    [InlineData("/api/chat", """{"model":"scripted","stream":false,"messages":[{"role":"user","content":"Hi"}],"options":{"stop":["x"]}}""", true)]
    [InlineData("/v1/completions", """{"model":"scripted","prompt":"Hi","stop":["x"]}""", false)]
    public async Task Stop_strings_leave_reasoning_that_is_told_apart_alone(string path, string body, bool toldApart)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        GenerationRequest request = engine.Submitted.Single().Request;
        Assert.Equal(["x"], request.StopStrings);
        Assert.Equal(toldApart ? new AnswerFrame("<think>", "</think>", false, []) with { Headers = request.BeforeAnswer!.Headers } : null, request.BeforeAnswer);
    }
}
