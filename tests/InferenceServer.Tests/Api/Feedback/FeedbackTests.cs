using System.Text.Json;
using InferenceServer.Tests.Api.Responses;

namespace InferenceServer.Tests.Api.Feedback;

/// <summary>Feedback from the reply to the record: a copy of exactly what was asked of whom, whatever becomes of the conversation.</summary>
public sealed class FeedbackTests
{
    private const string Path = "/v1/feedback";

    private static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;

    private static Task<JsonElement> GiveAsync(ResponseHost host, string members) => host.CallAsync(HttpMethod.Post, Path, null, $"{{{members}}}");

    private static Task<(int Status, string? Param, string? Code)> RefusedAsync(ResponseHost host, string members) => host.FailAsync(HttpMethod.Post, Path, $"{{{members}}}");

    private static Task<JsonElement> GetAsync(ResponseHost host, string query = "") => host.CallAsync(HttpMethod.Get, Path + query, null);

    private static string[] Messages(JsonElement record) =>
        [.. record.GetProperty("prompt").EnumerateArray().Select(message => $"{message.GetProperty("role")}: {message.GetProperty("content")}")];

    [Fact]
    public async Task A_rating_keeps_the_prompt_the_sampling_the_model_and_the_reply_and_outlives_the_conversation()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("Fine.");
        string conversation = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{\"items\":[{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"assistant\",\"content\":\"Hi!\"}]}"));
        JsonElement response = await host.CreateAsync($"\"input\":\"How are you?\",\"instructions\":\"Be brief.\",\"temperature\":0.5,\"top_k\":7,\"seed\":3,\"max_output_tokens\":50,\"conversation\":\"{conversation}\"");
        JsonElement items = await host.GetAsync($"/v1/conversations/{conversation}/items", "ConversationItemList");
        string reply = Id(items.GetProperty("data")[0]);
        JsonElement record = await GiveAsync(host, $"\"kind\":\"rating\",\"item_id\":\"{reply}\",\"rating\":\"up\",\"reason\":\"brief\"");
        Assert.Equal(("feedback", "rating", "up", "brief", "scripted", "fp_test"), (record.GetProperty("object").GetString(), record.GetProperty("kind").GetString(), record.GetProperty("rating").GetString(),
            record.GetProperty("reason").GetString(), record.GetProperty("model").GetString(), record.GetProperty("fingerprint").GetString()));
        Assert.StartsWith("fb_", Id(record), StringComparison.Ordinal);
        Assert.Equal(["system: Be brief.", "user: Hello", "assistant: Hi!", "user: How are you?"], Messages(record));
        JsonElement sampling = record.GetProperty("sampling");
        Assert.Equal((0.5, 7, 3, 50, 1), (sampling.GetProperty("temperature").GetDouble(), sampling.GetProperty("top_k").GetInt32(), sampling.GetProperty("seed").GetInt32(),
            sampling.GetProperty("max_output_tokens").GetInt32(), sampling.GetProperty("top_p").GetDouble()));
        JsonElement said = record.GetProperty("reply");
        Assert.Equal(reply, record.GetProperty("item_id").GetString());
        Assert.Equal(("Fine.", Id(response), reply, "completed"), (said.GetProperty("content").GetString(), said.GetProperty("response_id").GetString(), said.GetProperty("item_id").GetString(), said.GetProperty("status").GetString()));

        _ = await host.CallAsync(HttpMethod.Delete, $"/v1/conversations/{conversation}", null);
        Assert.True(JsonElement.DeepEquals(record, await GetAsync(host, $"/{Id(record)}")));
        Assert.Equal((400, "item_id", "not_a_reply"), await RefusedAsync(host, $"\"kind\":\"rating\",\"item_id\":\"{reply}\",\"rating\":\"up\""));
    }

    [Fact]
    public async Task A_second_rating_of_a_reply_takes_the_place_of_the_first_whichever_of_its_ids_is_named()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement response = await host.CreateAsync("\"input\":\"1\"");
        JsonElement first = await GiveAsync(host, $"\"kind\":\"rating\",\"response_id\":\"{Id(response)}\",\"rating\":\"up\"");
        JsonElement second = await GiveAsync(host, $"\"kind\":\"rating\",\"item_id\":\"{Id(response.GetProperty("output")[0])}\",\"rating\":\"down\"");
        JsonElement edit = await GiveAsync(host, $"\"kind\":\"edit\",\"response_id\":\"{Id(response)}\",\"ideal\":\"B\"");
        Assert.Equal([Id(edit), Id(second)], (await GetAsync(host)).GetProperty("data").EnumerateArray().Select(Id));
        // Which item is meant is known only of one that was named.
        Assert.Equal([null, Id(response.GetProperty("output")[0])], (await GetAsync(host)).GetProperty("data").EnumerateArray().Select(one => one.GetProperty("item_id").GetString()));
        Assert.Equal((404, "feedback_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{Path}/{Id(first)}"));
        Assert.Equal([Id(edit)], (await GetAsync(host, "?kind=edit")).GetProperty("data").EnumerateArray().Select(Id));
        Assert.Equal(2, (await GetAsync(host, "?model=scripted")).GetProperty("data").GetArrayLength());
        Assert.Equal(0, (await GetAsync(host, "?model=other")).GetProperty("data").GetArrayLength());
        Assert.Equal((400, "kind", "invalid_value"), await host.FailAsync(HttpMethod.Get, Path + "?kind=praise"));
        JsonElement page = await GetAsync(host, "?limit=1&order=asc");
        Assert.Equal((Id(second), true), (page.GetProperty("last_id").GetString(), page.GetProperty("has_more").GetBoolean()));

        Assert.True((await host.CallAsync(HttpMethod.Delete, $"{Path}/{Id(edit)}", null)).GetProperty("deleted").GetBoolean());
        Assert.Equal((404, "feedback_id", "not_found"), await host.FailAsync(HttpMethod.Delete, $"{Path}/{Id(edit)}"));
        Assert.Equal(1, (await host.CallAsync(HttpMethod.Delete, Path, null)).GetProperty("count").GetInt32());
        Assert.Equal(0, (await GetAsync(host)).GetProperty("data").GetArrayLength());
    }

    [Fact]
    public async Task Two_replies_are_compared_only_if_they_answer_the_same()
    {
        int count = 0;
        await using ResponseHost host = await ResponseHost.StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync($"R{Interlocked.Increment(ref count)}") });
        string conversation = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{\"items\":[{\"role\":\"user\",\"content\":\"Q\"}]}"));
        string question = Id((await host.GetAsync($"/v1/conversations/{conversation}/items", "ConversationItemList")).GetProperty("data")[0]);
        string at = $"\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{question}\"}}";
        const string Tools = "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"\\u0061\\/b é\":{\"type\":\"number\",\"maximum\":1.50e1}}}}]";
        JsonElement one = await host.CreateAsync(at), two = await host.CreateAsync(at + ",\"temperature\":0.1"), instructed = await host.CreateAsync(at + ",\"instructions\":\"S\"");
        JsonElement withTools = await host.CreateAsync($"{at},{Tools}"), again = await host.CreateAsync($"{at},{Tools}"), elsewhere = await host.CreateAsync("\"input\":\"Q\"");

        JsonElement record = await GiveAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(two)}\",\"rejected\":\"{Id(one.GetProperty("output")[0])}\",\"reason\":\"better\"");
        Assert.Equal(JsonValueKind.Null, record.GetProperty("item_id").ValueKind);
        Assert.Equal(("R2", "R1"), (record.GetProperty("chosen").GetProperty("content").GetString(), record.GetProperty("rejected").GetProperty("content").GetString()));
        Assert.Equal((0.1f, 1f), (record.GetProperty("sampling").GetProperty("temperature").GetSingle(), record.GetProperty("rejected").GetProperty("sampling").GetProperty("temperature").GetSingle()));
        Assert.Equal(["user: Q"], Messages(record));
        // The same messages are the same prompt, in whatever conversation; and another opinion of the same two takes this one's place.
        _ = await GiveAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(one)}\",\"rejected\":\"{Id(elsewhere)}\"");
        _ = await GiveAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(one)}\",\"rejected\":\"{Id(two)}\"");
        JsonElement tooled = await GiveAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(withTools)}\",\"rejected\":\"{Id(again)}\"");
        Assert.Equal("f", tooled.GetProperty("tools")[0].GetProperty("name").GetString());
        Assert.Equal(3, (await GetAsync(host, "?kind=comparison")).GetProperty("data").GetArrayLength());
        foreach (JsonElement other in (JsonElement[])[instructed, withTools])
            Assert.Equal((400, "rejected", "different_prompts"), await RefusedAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(one)}\",\"rejected\":\"{Id(other)}\""));
        Assert.Equal((400, "rejected", "invalid_value"), await RefusedAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(one)}\",\"rejected\":\"{Id(one.GetProperty("output")[0])}\""));
        Assert.Equal((400, "rejected", "not_a_reply"), await RefusedAsync(host, $"\"kind\":\"comparison\",\"chosen\":\"{Id(one)}\",\"rejected\":\"{question}\""));
    }

    [Fact]
    public async Task What_cannot_be_judged_is_named()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement running = await host.CreateAsync("\"input\":\"1\",\"background\":true");
        Assert.Equal((400, "response_id", "invalid_value"), await RefusedAsync(host, $"\"kind\":\"rating\",\"response_id\":\"{Id(running)}\",\"rating\":\"up\""));
        held.Release();
        string conversation = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{\"items\":[{\"role\":\"assistant\",\"content\":\"Mine\"}]}"));
        string own = Id((await host.GetAsync($"/v1/conversations/{conversation}/items", "ConversationItemList")).GetProperty("data")[0]);
        JsonElement unstored = await host.CreateAsync("\"input\":\"1\",\"store\":false"), chained = await host.CreateAsync("\"input\":\"1\"");
        string input = Id((await host.GetAsync($"{ResponseHost.Path}/{Id(chained)}/input_items", "ResponseItemList")).GetProperty("data")[0]);
        foreach (string id in (string[])[own, input, Id(unstored), Id(unstored.GetProperty("output")[0]), "msg_none", "resp_none"])
            Assert.Equal((400, "item_id", "not_a_reply"), await RefusedAsync(host, $"\"kind\":\"rating\",\"item_id\":\"{id}\",\"rating\":\"up\""));
        // What came before is gone: nobody knows the prompt any more.
        JsonElement next = await host.CreateAsync($"\"input\":\"2\",\"previous_response_id\":\"{Id(chained)}\"");
        _ = await GiveAsync(host, $"\"kind\":\"rating\",\"response_id\":\"{Id(next)}\",\"rating\":\"up\"");
        _ = await host.CallAsync(HttpMethod.Delete, $"{ResponseHost.Path}/{Id(chained)}", null);
        Assert.Equal((400, "response_id", "prompt_changed"), await RefusedAsync(host, $"\"kind\":\"rating\",\"response_id\":\"{Id(next)}\",\"rating\":\"down\""));
    }

    [Theory]
    [InlineData("", "kind", "missing_required_parameter")]
    [InlineData("\"kind\":\"praise\"", "kind", "invalid_value")]
    [InlineData("\"kind\":\"rating\",\"rating\":\"up\"", "item_id", "missing_required_parameter")]
    [InlineData("\"kind\":\"rating\",\"rating\":\"up\",\"item_id\":\"a\",\"response_id\":\"b\"", "response_id", "mutually_exclusive_parameters")]
    [InlineData("\"kind\":\"rating\",\"item_id\":\"a\"", "rating", "missing_required_parameter")]
    [InlineData("\"kind\":\"rating\",\"item_id\":\"a\",\"rating\":\"best\"", "rating", "invalid_value")]
    [InlineData("\"kind\":\"rating\",\"item_id\":\"a\",\"rating\":\"up\",\"reason\":\"$10001\"", "reason", "invalid_length")]
    [InlineData("\"kind\":\"comparison\",\"chosen\":\"a\"", "rejected", "missing_required_parameter")]
    [InlineData("\"kind\":\"edit\",\"item_id\":\"a\"", "ideal", "missing_required_parameter")]
    [InlineData("\"kind\":\"edit\",\"item_id\":\"a\",\"ideal\":\" \"", "ideal", "invalid_length")]
    [InlineData("\"kind\":\"edit\",\"item_id\":\"a\",\"ideal\":\"$200001\"", "ideal", "invalid_length")]
    public async Task A_body_that_says_too_little_or_too_much_is_named(string members, string param, string code)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        if (members.IndexOf('$', StringComparison.Ordinal) is >= 0 and int at)
            members = $"{members[..at]}{new string('x', int.Parse(members[(at + 1)..^1], System.Globalization.CultureInfo.InvariantCulture))}\"";
        Assert.Equal((400, param, code), await RefusedAsync(host, members));
    }

    [Fact]
    public async Task A_truncated_prompt_is_kept_as_the_model_saw_it()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string filler = new('x', 1900);
        JsonElement response = await host.CreateAsync(
            $"\"instructions\":\"S\",\"truncation\":\"auto\",\"input\":[{{\"role\":\"user\",\"content\":\"1{filler}\"}},{{\"role\":\"assistant\",\"content\":\"a\"}},{{\"role\":\"user\",\"content\":\"2{filler}\"}},{{\"role\":\"user\",\"content\":\"3\"}}]");
        Assert.Equal(1, response.GetProperty("x_truncation").GetProperty("dropped_turns").GetInt32());
        JsonElement record = await GiveAsync(host, $"\"kind\":\"rating\",\"response_id\":\"{Id(response)}\",\"rating\":\"up\"");
        Assert.Equal(["system: S", $"user: 2{filler}", "user: 3"], Messages(record));
    }

    [Fact]
    public async Task Without_a_store_there_is_no_feedback()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Path, "{\"kind\":\"rating\",\"item_id\":\"a\",\"rating\":\"up\"}"), 400, null, "store_off");
        await ErrorTests.AssertErrorAsync(await host.Client.GetAsync(new Uri(Path + "/export?format=sft", UriKind.Relative)), 400, null, "store_off");
    }
}
