using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>Responses with a tool of type mcp: lists, calls and approvals as items, and their events as OpenAI's document has them.</summary>
public sealed class McpResponseTests
{
    private const string Path = ResponseHost.Path;
    private const string Free = "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"files\",\"allowed_tools\":[\"add\",\"fail\"],\"require_approval\":\"never\"}]";
    private const string Asking = "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"files\",\"allowed_tools\":[\"add\"]}]";

    private static readonly string Add = McpHost.Call("files__add", "{\"a\": 1, \"b\": 2}");

    private static async Task<JsonElement> CreateAsync(McpHost host, string fields)
    {
        JsonElement response = await host.Host.PostJsonAsync(Path, $"{{\"model\":\"scripted\",{fields}}}");
        OpenAISpec.Check("Response", response);
        return response;
    }

    private static async Task<List<JsonElement>> StreamAsync(McpHost host, string fields)
    {
        using HttpResponseMessage answer = await host.Host.PostAsync(Path, $"{{\"model\":\"scripted\",\"stream\":true,{fields}}}");
        string stream = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, stream);
        return ResponseHost.Events(stream);
    }

    private static string[] Items(JsonElement response) => [.. response.GetProperty("output").EnumerateArray().Select(item => item.GetProperty("type").GetString() switch
    {
        "mcp_list_tools" => $"list {item.GetProperty("server_label")}: {string.Join(' ', item.GetProperty("tools").EnumerateArray().Select(tool => tool.GetProperty("name").GetString()))}",
        "mcp_call" => $"call {item.GetProperty("server_label")}.{item.GetProperty("name")} {item.GetProperty("arguments")} -> {(item.TryGetProperty("output", out JsonElement output) ? output.GetString() : item.GetProperty("error").GetProperty("content")[0].GetProperty("text").GetString())}, {item.GetProperty("status")}",
        "mcp_approval_request" => $"may {item.GetProperty("server_label")}.{item.GetProperty("name")} {item.GetProperty("arguments")}",
        "function_call" => $"function {item.GetProperty("name")}",
        string type => $"{type}: {string.Concat(item.GetProperty("content").EnumerateArray().Select(part => part.GetProperty("text").GetString()))}",
        null => throw new InvalidOperationException("an item has no type"),
    })];

    [Fact]
    public async Task Lists_and_calls_are_items_and_their_events_come_in_OpenAIs_order()
    {
        await using McpHost host = await McpHost.StartAsync($"One moment.\n{Add}\n{McpHost.Call("files__fail")}", "It is 3.");
        List<JsonElement> events = await StreamAsync(host, $"\"input\":\"Hi\",{Free}");
        string[] types = ResponseHost.Types(events);
        string[] message = ["response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done"];
        string[] Call(string end) => ["response.output_item.added", "response.mcp_call.in_progress", "response.mcp_call_arguments.delta", "response.mcp_call_arguments.done", end, "response.output_item.done"];
        Assert.Equal(
            [
                "response.created", "response.in_progress",
                "response.output_item.added", "response.mcp_list_tools.in_progress", "response.mcp_list_tools.completed", "response.output_item.done",
                .. message, .. Call("response.mcp_call.completed"), .. Call("response.mcp_call.failed"), .. message, "response.completed",
            ], types.Where((type, i) => i == 0 || type != types[i - 1] || !type.EndsWith(".delta", StringComparison.Ordinal)));
        JsonElement response = events[^1].GetProperty("response");
        Assert.Equal(
            ["list files: add fail", "message: One moment.", "call files.add {\"a\": 1, \"b\": 2} -> 3, completed", "call files.fail {} -> No such file., failed", "message: It is 3."], Items(response));
        foreach ((JsonElement item, int index) in response.GetProperty("output").EnumerateArray().Select((item, index) => (item, index)))
        {
            JsonElement[] own = [.. events.Where(data => data.TryGetProperty("output_index", out JsonElement at) && at.GetInt32() == index)];
            Assert.True(JsonElement.DeepEquals(item, own[^1].GetProperty("item")));
            Assert.All(own.Skip(1).SkipLast(1), data => Assert.Equal(item.GetProperty("id").GetString(), data.GetProperty("item_id").GetString()));
        }

        JsonElement tool = response.GetProperty("tools").EnumerateArray().Single();
        Assert.Equal(("mcp", "files", "never"), (tool.GetProperty("type").GetString(), tool.GetProperty("server_label").GetString(), tool.GetProperty("require_approval").GetString()));
        Assert.Equal(host.Engine.Submitted.Sum(round => round.Request.PromptTokens.Length), response.GetProperty("usage").GetProperty("input_tokens").GetInt32());
    }

    [Fact]
    public async Task The_next_turn_knows_the_calls_and_their_results_whether_stored_or_sent_back()
    {
        await using McpHost host = await McpHost.StartAsync(Add, "It is 3.", "You are welcome.");
        JsonElement first = await CreateAsync(host, $"\"input\":\"Hi\",{Free}");
        Assert.Equal(["list files: add fail", "call files.add {\"a\": 1, \"b\": 2} -> 3, completed", "message: It is 3."], Items(first));
        JsonElement next = await CreateAsync(host, $"\"input\":\"Thanks\",\"previous_response_id\":\"{first.GetProperty("id")}\",{Free}");
        // The tools are known already.
        Assert.Equal(["message: You are welcome."], Items(next));
        const string Known = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\nIt is 3.<|im_end|>\n<|im_start|>user\nThanks<|im_end|>\n<|im_start|>assistant\n";
        Assert.Equal(Known, host.Prompts[^1]);
        string items = string.Join(',', first.GetProperty("output").EnumerateArray().Select(item => item.GetRawText()));
        _ = await CreateAsync(host, $"\"store\":false,\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{items},{{\"role\":\"user\",\"content\":\"Thanks\"}}],{Free}");
        Assert.Equal(Known, host.Prompts[^1]);
        JsonElement stored = JsonDocument.Parse(await host.Host.Client.GetStringAsync(new Uri($"{Path}/{first.GetProperty("id")}", UriKind.Relative))).RootElement;
        Assert.True(JsonElement.DeepEquals(first, stored));
    }

    [Fact]
    public async Task A_call_that_needs_an_approval_waits_for_it_and_runs_before_the_model_goes_on()
    {
        await using McpHost host = await McpHost.StartAsync("I would add.\n" + Add, "It is 3.");
        JsonElement first = await CreateAsync(host, $"\"input\":\"Hi\",{Asking}");
        Assert.Equal(["list files: add", "message: I would add.", "may files.add {\"a\": 1, \"b\": 2}"], Items(first));
        Assert.Equal("completed", first.GetProperty("status").GetString());
        string request = first.GetProperty("output")[2].GetProperty("id").GetString()!;
        List<JsonElement> events = await StreamAsync(host, $"\"input\":[{{\"type\":\"mcp_approval_response\",\"approval_request_id\":\"{request}\",\"approve\":true}}],\"previous_response_id\":\"{first.GetProperty("id")}\",{Asking}");
        JsonElement second = events[^1].GetProperty("response");
        Assert.Equal(["call files.add {\"a\": 1, \"b\": 2} -> 3, completed", "message: It is 3."], Items(second));
        Assert.Equal(request, second.GetProperty("output")[0].GetProperty("approval_request_id").GetString());
        const string Known = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nI would add.<|im_end|>\n<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\n";
        Assert.Equal(Known, host.Prompts[^1]);

        // Once it has run it is not run again.
        JsonElement third = await CreateAsync(host, $"\"input\":\"Thanks\",\"previous_response_id\":\"{second.GetProperty("id")}\",{Asking}");
        Assert.Equal(["message: It is 3."], Items(third));
        Assert.StartsWith(Known, host.Prompts[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_approval_can_be_sent_back_with_all_items_and_one_that_is_denied_is_told_to_the_model()
    {
        await using McpHost host = await McpHost.StartAsync(Add, "Then not.");
        JsonElement first = await CreateAsync(host, $"\"store\":false,\"input\":\"Hi\",{Asking}");
        string items = string.Join(',', first.GetProperty("output").EnumerateArray().Select(item => item.GetRawText()));
        string request = first.GetProperty("output")[1].GetProperty("id").GetString()!;
        string Answer(string approve) => $"\"store\":false,\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{items},{{\"type\":\"mcp_approval_response\",\"approval_request_id\":\"{request}\",{approve}}}],{Asking}";
        Assert.Equal(["message: Then not."], Items(await CreateAsync(host, Answer("\"approve\":false,\"reason\":\"Too risky.\""))));
        Assert.EndsWith("<|im_start|>tool\nThe user declined this call: Too risky.<|im_end|>\n<|im_start|>assistant\n", host.Prompts[^1], StringComparison.Ordinal);
        Assert.Equal(["call files.add {\"a\": 1, \"b\": 2} -> 3, completed", "message: Then not."], Items(await CreateAsync(host, Answer("\"approve\":true"))));

        // Who goes on without deciding has not called.
        _ = await CreateAsync(host, $"\"store\":false,\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{items},{{\"role\":\"user\",\"content\":\"Never mind\"}}],{Asking}");
        Assert.Equal("<|im_start|>user\nHi<|im_end|>\n<|im_start|>user\nNever mind<|im_end|>\n<|im_start|>assistant\n", host.Prompts[^1]);
    }

    [Fact]
    public async Task The_configuration_asks_for_approvals_whatever_the_request_says()
    {
        await using McpHost host = await McpHost.StartAsync(entry => entry.Approval = new(false, ["add"]), null, null, null, Add);
        Assert.Equal(["list files: add fail", "may files.add {\"a\": 1, \"b\": 2}"], Items(await CreateAsync(host, $"\"input\":\"Hi\",{Free}")));
    }

    [Theory]
    [InlineData("{\"never\":{\"tool_names\":[\"add\"]}}", true)]
    [InlineData("{\"never\":{\"read_only\":true}}", true)]
    [InlineData("{\"never\":{\"tool_names\":[\"echo\"]}}", false)]
    [InlineData("{\"always\":{\"tool_names\":[\"add\"]}}", false)]
    [InlineData("{\"always\":{\"tool_names\":[\"echo\"]}}", true)]
    [InlineData("\"always\"", false)]
    public async Task A_filter_says_which_tools_need_one(string approval, bool runs)
    {
        await using McpHost host = await McpHost.StartAsync(Add, "It is 3.");
        JsonElement response = await CreateAsync(host, $"\"input\":\"Hi\",\"tools\":[{{\"type\":\"mcp\",\"server_label\":\"files\",\"allowed_tools\":{{\"read_only\":true}},\"require_approval\":{approval}}}]");
        Assert.Equal(["list files: add echo", runs ? "call files.add {\"a\": 1, \"b\": 2} -> 3, completed" : "may files.add {\"a\": 1, \"b\": 2}"], Items(response).Take(2));
    }

    [Fact]
    public async Task Calls_of_the_clients_functions_end_the_turn_and_max_tool_calls_is_kept()
    {
        await using McpHost host = await McpHost.StartAsync($"{McpHost.Call("now")}\n{Add}");
        JsonElement mixed = await CreateAsync(host, $"\"input\":\"Hi\",{Free[..^1]},{{\"type\":\"function\",\"name\":\"now\",\"parameters\":{{\"type\":\"object\"}}}}]");
        Assert.Equal(["list files: add fail", "function now", "call files.add {\"a\": 1, \"b\": 2} -> 3, completed"], Items(mixed));
        await using McpHost few = await McpHost.StartAsync(Add, Add, "Enough.");
        JsonElement limited = await CreateAsync(few, $"\"input\":\"Hi\",\"max_tool_calls\":1,{Free}");
        Assert.Equal(2, few.Engine.Submitted.Count);
        Assert.Null(few.Engine.Submitted.Last().Request.Constraint);
        Assert.Single(Items(limited), item => item.StartsWith("call ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"server_url\":\"http://127.0.0.1:1/mcp\"}", "tools[0].server_url", "mcp_server_unknown")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"down\",\"server_url\":\"http://127.0.0.1:1/mcp\"}", "tools[0].server_url", "mcp_server_unknown")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"other\",\"server_url\":\"http://127.0.0.1:1/mcp\"}", "tools[0].server_url", "mcp_server_unknown")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"other\"}", "tools[0].server_label", "mcp_server_unknown")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"authorization\":\"x\"}", "tools[0].authorization", "unsupported_parameter")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"headers\":{\"A\":\"b\"}}", "tools[0].headers", "unsupported_parameter")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"connector_id\":\"connector_gmail\"}", "tools[0].connector_id", "unsupported_parameter")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"allowed_tools\":[\"none\"]}", "tools[0].server_label", "mcp_tool_unknown")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\",\"require_approval\":\"often\"}", "tools[0].require_approval", "invalid_value")]
    [InlineData("{\"type\":\"mcp\",\"server_label\":\"files\"},{\"type\":\"mcp\",\"server_label\":\"files\"}", "tools[1].server_label", "invalid_value")]
    public async Task What_cannot_be_asked_is_refused_with_its_place(string tools, string param, string code)
    {
        await using McpHost host = await McpHost.StartAsync("Hi");
        (int status, string? where, string? what, _) = await host.FailAsync(Path, $"{{\"model\":\"scripted\",\"input\":\"Hi\",\"tools\":[{tools}]}}");
        Assert.Equal((400, param, code), (status, where, what));
    }

    [Fact]
    public async Task The_address_that_the_configuration_has_may_be_said_and_a_tool_or_a_whole_server_chosen()
    {
        await using McpHost host = await McpHost.StartAsync(Add, "It is 3.", Add, "It is 3.");
        string tool = $"{{\"type\":\"mcp\",\"server_label\":\"files\",\"server_url\":\"{host.Tools.Entry.Url}\",\"require_approval\":\"never\"}}";
        foreach (string choice in (string[])["{\"type\":\"mcp\",\"server_label\":\"files\",\"name\":\"add\"}", "{\"type\":\"mcp\",\"server_label\":\"files\"}"])
            Assert.Contains("message: It is 3.", Items(await CreateAsync(host, $"\"input\":\"Hi\",\"tools\":[{tool}],\"tool_choice\":{choice}")));
        Assert.Equal("tool_choice", (await host.FailAsync(Path, $"{{\"model\":\"scripted\",\"input\":\"Hi\",\"tools\":[{tool}],\"tool_choice\":{{\"type\":\"mcp\",\"server_label\":\"files\",\"name\":\"none\"}}}}")).Param);
    }

    [Fact]
    public async Task Approvals_of_nothing_and_of_tools_that_are_not_offered_are_refused()
    {
        await using McpHost host = await McpHost.StartAsync(Add, "It is 3.");
        const string Request = "{\"type\":\"mcp_approval_request\",\"id\":\"mcpr_1\",\"server_label\":\"files\",\"name\":\"crash\",\"arguments\":\"{}\"}";
        const string Given = "{\"type\":\"mcp_approval_response\",\"approval_request_id\":\"mcpr_1\",\"approve\":true}";
        Assert.Equal((400, "input"), await host.FailAsync(Path, $"{{\"model\":\"scripted\",\"input\":[{Given}],{Asking}}}") is var (status, param, _, _) ? (status, param) : default);
        Assert.Equal((400, "tools"), await host.FailAsync(Path, $"{{\"model\":\"scripted\",\"input\":[{Request},{Given}],{Asking}}}") is var (second, where, _, _) ? (second, where) : default);
        Assert.Equal((400, "tools"), await host.FailAsync(Path, $"{{\"model\":\"scripted\",\"input\":[{Request},{Given}]}}") is var (third, place, _, _) ? (third, place) : default);
    }
}
