using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>One response: what the model is given, what comes back, whole and streamed.</summary>
public sealed class ResponseTests
{
    private const string Reply = "<think>\nHm.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    private const string Tools = "\"tools\":[{\"type\":\"function\",\"name\":\"now\",\"parameters\":{\"type\":\"object\"}}]";

    [Fact]
    public async Task A_text_is_answered_with_one_message_and_all_that_was_asked_comes_back()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("Hello", ", ", "world");
        JsonElement response = await host.CreateAsync(
            """
            "input":"Hi","instructions":"Be brief.","metadata":{"a":"b"},"temperature":0.5,"top_p":0.9,"max_output_tokens":100,"user":"u","service_tier":"flex",
            "prompt_cache_key":"k","safety_identifier":"s","max_tool_calls":3,"truncation":"auto","x_cache_report":true
            """);
        Assert.Equal("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", host.LastPrompt);
        Assert.Equal(["assistant: Hello, world"], ResponseHost.Items(response.GetProperty("output")));
        Assert.Equal(("completed", "Be brief.", "b", 0.5, 100, "flex", true), (response.GetProperty("status").GetString(), response.GetProperty("instructions").GetString(),
            response.GetProperty("metadata").GetProperty("a").GetString(), response.GetProperty("temperature").GetDouble(), response.GetProperty("max_output_tokens").GetInt32(),
            response.GetProperty("service_tier").GetString(), response.GetProperty("store").GetBoolean()));
        JsonElement usage = response.GetProperty("usage");
        int input = usage.GetProperty("input_tokens").GetInt32();
        Assert.Equal((3, input - 3, 3, input + 3), (usage.GetProperty("input_tokens_details").GetProperty("cached_tokens").GetInt32(),
            usage.GetProperty("input_tokens_details").GetProperty("cache_write_tokens").GetInt32(), usage.GetProperty("output_tokens").GetInt32(), usage.GetProperty("total_tokens").GetInt32()));
        Assert.Equal("u", host.Engine.Submitted.Last().Request.FairnessKey);
        Assert.Equal((RequestPriority.Flex, 100, "k"), (host.Engine.Submitted.Last().Request.Priority, host.Engine.Submitted.Last().Request.MaxTokens, host.Engine.Submitted.Last().Request.SessionId));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    public async Task Reasoning_text_and_calls_are_items_and_events_come_in_OpenAIs_order(int piece)
    {
        await using ResponseHost host = await ResponseHost.StartAsync([.. Reply.Chunk(piece).Select(part => new string(part))]);
        List<JsonElement> events = await host.StreamAsync($"\"input\":\"Hi\",{Tools}");
        string[] types = ResponseHost.Types(events);
        // Deltas may be any number.
        Assert.Equal(
            [
                "response.created", "response.in_progress",
                "response.output_item.added", "response.content_part.added", "response.reasoning_text.delta", "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done",
                "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done",
                "response.completed",
            ], types.Where((type, i) => i == 0 || type != types[i - 1] || !type.EndsWith(".delta", StringComparison.Ordinal)));
        JsonElement response = events[^1].GetProperty("response");
        string[] expected = ["reasoning: Hm.", "assistant: One moment.", "call now {\"a\": 1}"];
        Assert.Equal(expected, ResponseHost.Items(response.GetProperty("output")));
        foreach ((JsonElement item, int index) in response.GetProperty("output").EnumerateArray().Select((item, index) => (item, index)))
        {
            JsonElement[] own = [.. events.Where(data => data.TryGetProperty("output_index", out JsonElement at) && at.GetInt32() == index)];
            Assert.Equal("in_progress", own[0].GetProperty("item").GetProperty("status").GetString());
            Assert.True(JsonElement.DeepEquals(item, own[^1].GetProperty("item")));
            Assert.All(own.Skip(1).SkipLast(1), data => Assert.Equal(item.GetProperty("id").GetString(), data.GetProperty("item_id").GetString()));
            JsonElement done = own.Single(data => data.GetProperty("type").GetString()!.EndsWith("_text.done", StringComparison.Ordinal) || data.TryGetProperty("arguments", out _));
            Assert.Equal(done.TryGetProperty("text", out JsonElement text) ? text.GetString() : done.GetProperty("arguments").GetString(),
                string.Concat(own.Where(data => data.TryGetProperty("delta", out _)).Select(data => data.GetProperty("delta").GetString())));
        }

        JsonElement whole = await host.CreateAsync($"\"input\":\"Hi\",{Tools}");
        Assert.Equal(expected, ResponseHost.Items(whole.GetProperty("output")));
        Assert.True(whole.GetProperty("usage").GetProperty("output_tokens_details").GetProperty("reasoning_tokens").GetInt32() > 0);
    }

    [Fact]
    public async Task Items_become_the_messages_that_they_were()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("fine");
        JsonElement response = await host.CreateAsync(
            """
            "input":[
              {"role":"developer","content":"D"},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
              {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"r"}]},
              {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"x","annotations":[],"logprobs":[]}]},
              {"type":"function_call","id":"fc_1","call_id":"call_1","name":"now","arguments":"{}"},
              {"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"12:00"}]},
              {"role":"assistant","content":"It is noon.","phase":"final_answer"},
              {"role":"user","content":"Thanks"}]
            """);
        Assert.Equal("<|im_start|>developer\nD<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n<|im_start|>assistant\nx<|im_end|>\n<|im_start|>tool\n12:00<|im_end|>\n"
            + "<|im_start|>assistant\nIt is noon.<|im_end|>\n<|im_start|>user\nThanks<|im_end|>\n<|im_start|>assistant\n", host.LastPrompt);
        JsonElement list = await host.GetAsync($"{ResponseHost.Path}/{response.GetProperty("id")}/input_items?order=asc&limit=100", "ResponseItemList");
        Assert.Equal(["developer: D", "user: ab", "reasoning: r", "assistant: x", "call now {}", "output [{\"type\":\"input_text\",\"text\":\"12:00\"}]", "assistant: It is noon.", "user: Thanks"],
            ResponseHost.Items(list.GetProperty("data")));
        JsonElement page = await host.GetAsync($"{ResponseHost.Path}/{response.GetProperty("id")}/input_items?limit=1", "ResponseItemList");
        Assert.Equal((true, "user: Thanks"), (page.GetProperty("has_more").GetBoolean(), ResponseHost.Items(page.GetProperty("data")).Single()));
        page = await host.GetAsync($"{ResponseHost.Path}/{response.GetProperty("id")}/input_items?limit=1&after={page.GetProperty("last_id")}", "ResponseItemList");
        Assert.Equal("assistant: It is noon.", ResponseHost.Items(page.GetProperty("data")).Single());
    }

    [Fact]
    public async Task A_reply_that_was_cut_is_incomplete_and_says_why()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": \"long");
                reply.Finish(FinishReason.Length);
                return Task.CompletedTask;
            },
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        List<JsonElement> events = await host.StreamAsync($"\"input\":\"Hi\",{Tools},\"max_output_tokens\":16");
        Assert.Equal("response.incomplete", events[^1].GetProperty("type").GetString());
        JsonElement response = events[^1].GetProperty("response");
        Assert.Equal(("incomplete", "max_output_tokens", "incomplete"), (response.GetProperty("status").GetString(),
            response.GetProperty("incomplete_details").GetProperty("reason").GetString(), response.GetProperty("output")[0].GetProperty("status").GetString()));
        // The next turn can be taken: what cannot be rendered is left out.
        JsonElement next = await host.CreateAsync($"\"input\":\"Go on\",\"previous_response_id\":\"{response.GetProperty("id")}\"");
        Assert.Equal("incomplete", next.GetProperty("status").GetString());
        // Nor does it matter to a client that keeps its own history.
        const string Cut = "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"now\",\"arguments\":\"{\\\"a\",\"status\":\"incomplete\"}";
        _ = await host.CreateAsync($"\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{Cut},{{\"role\":\"user\",\"content\":\"Go on\"}}]");
        Assert.DoesNotContain("assistant\n<", host.LastPrompt, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_reply_that_says_nothing_is_an_empty_message()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("");
        Assert.Equal(["assistant: "], ResponseHost.Items((await host.CreateAsync("\"input\":\"Hi\"")).GetProperty("output")));
    }

    [Fact]
    public async Task A_failure_is_an_error_of_the_request_and_within_a_stream_an_event_that_keeps_what_was_said()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("partial");
                reply.Finish(FinishReason.Failed, error: "decode returned -3");
                return Task.CompletedTask;
            },
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        Assert.Equal((500, null, "generation_failed"), await host.FailAsync("\"input\":\"Hi\""));
        List<JsonElement> events = await host.StreamAsync("\"input\":\"Hi\"");
        Assert.Equal("response.failed", events[^1].GetProperty("type").GetString());
        JsonElement failed = events[^1].GetProperty("response");
        Assert.Equal(("failed", "server_error"), (failed.GetProperty("status").GetString(), failed.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal(["assistant: partial"], ResponseHost.Items(failed.GetProperty("output")));
        JsonElement kept = await host.GetAsync($"{ResponseHost.Path}/{failed.GetProperty("id")}", "Response");
        Assert.True(JsonElement.DeepEquals(failed, kept));
    }

    [Fact]
    public async Task A_retry_of_a_stream_that_failed_runs_again_and_one_that_ended_well_is_replayed()
    {
        int runs = 0;
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("said");
                if (Interlocked.Increment(ref runs) == 1)
                    reply.Finish(FinishReason.Failed, error: "decode returned -3");
                else
                    reply.Finish();
                return Task.CompletedTask;
            },
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        List<string> streams = [];
        for (int i = 0; i < 3; i++)
        {
            using HttpRequestMessage request = new(HttpMethod.Post, ResponseHost.Path)
            {
                Content = new StringContent("{\"model\":\"scripted\",\"input\":\"Hi\",\"stream\":true}", System.Text.Encoding.UTF8, "application/json"),
            };
            request.Headers.Add("Idempotency-Key", "once");
            using HttpResponseMessage answer = await host.Host.Client.SendAsync(request);
            streams.Add(await answer.Content.ReadAsStringAsync());
        }

        Assert.Contains("response.failed", streams[0], StringComparison.Ordinal);
        Assert.Contains("response.completed", streams[1], StringComparison.Ordinal);
        Assert.Equal(streams[1], streams[2]);
        Assert.Equal(2, runs);
    }

    [Fact]
    public async Task A_response_that_cannot_be_stored_ends_with_an_error_event_and_never_as_completed()
    {
        ResponseHost host = await ResponseHost.StartAsync("Hello");
        await host.Store.DisposeAsync();
        List<JsonElement> events = await host.StreamAsync("\"input\":\"Hi\"");
        Assert.Equal("error", events[^1].GetProperty("type").GetString());
        Assert.DoesNotContain("response.completed", ResponseHost.Types(events));
        await host.Host.DisposeAsync();
    }

    [Fact]
    public async Task Log_probabilities_are_those_of_the_message_alone()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                foreach (string token in (string[])["<think>", "no", "</think>", "\n\n", "y", "", "es"])
                    reply.Token(token, new TokenLogprobs(token.Length > 0 ? token[0] : 0xC3, -0.5f, [new('a', -0.25f)]));
                reply.Finish();
                return Task.CompletedTask;
            },
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        List<JsonElement> events = await host.StreamAsync("\"input\":\"Hi\",\"include\":[\"message.output_text.logprobs\"],\"top_logprobs\":1");
        JsonElement message = events[^1].GetProperty("response").GetProperty("output")[1];
        JsonElement logprobs = message.GetProperty("content")[0].GetProperty("logprobs");
        Assert.Equal("yes", message.GetProperty("content")[0].GetProperty("text").GetString());
        Assert.Equal(["y", "\uFFFD", "e"], logprobs.EnumerateArray().Select(token => token.GetProperty("token").GetString()));
        Assert.Equal(logprobs.GetArrayLength(), events.Where(data => data.GetProperty("type").ValueEquals("response.output_text.delta")).Sum(data => data.GetProperty("logprobs").GetArrayLength()));
        Assert.Equal(-0.25, logprobs[0].GetProperty("top_logprobs")[0].GetProperty("logprob").GetDouble());
    }

    [Fact]
    public async Task Reasoning_is_its_own_summary_where_one_is_asked_for_and_comes_back_as_reasoning()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("<think>", "Let me", " see.", "</think>", "Yes");
        List<JsonElement> events = await host.StreamAsync("\"input\":\"Hi\",\"reasoning\":{\"summary\":\"auto\"}");
        Assert.Equal(["response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta", "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done"], ResponseHost.Types(events.Skip(2).Take(7)));
        JsonElement response = events[^1].GetProperty("response"), item = response.GetProperty("output")[0];
        Assert.Equal(("Let me see.", "auto", false), (item.GetProperty("summary")[0].GetProperty("text").GetString(),
            response.GetProperty("reasoning").GetProperty("summary").GetString(), item.TryGetProperty("content", out _)));
        JsonElement next = await host.CreateAsync($"\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{item.GetRawText()},{{\"role\":\"assistant\",\"content\":\"Yes\"}},{{\"role\":\"user\",\"content\":\"?\"}}]");
        Assert.Equal("completed", next.GetProperty("status").GetString());
    }

    [Fact]
    public async Task Encrypted_reasoning_comes_back_as_the_reasoning_that_it_was()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("<think>Grüße</think>Hi");
        JsonElement reasoning = (await host.CreateAsync("\"input\":\"Hi\",\"include\":[\"reasoning.encrypted_content\"],\"store\":false")).GetProperty("output")[0];
        string sealedText = reasoning.GetProperty("encrypted_content").GetString()!;
        JsonElement next = await host.CreateAsync($"\"input\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"{sealedText}\"}},{{\"role\":\"assistant\",\"content\":\"Hi\"}},{{\"role\":\"user\",\"content\":\"?\"}}]");
        JsonElement list = await host.GetAsync($"{ResponseHost.Path}/{next.GetProperty("id")}/input_items?order=asc", "ResponseItemList");
        Assert.Equal("reasoning: Grüße", ResponseHost.Items(list.GetProperty("data"))[1]);
        Assert.Equal((400, "input[0].encrypted_content", "invalid_encrypted_content"), await host.FailAsync("\"input\":[{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"text-1.!!\"}]"));
    }

    [Fact]
    public async Task A_schema_holds_the_reply_and_comes_back_as_it_was_given()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("{}");
        JsonElement response = await host.CreateAsync("\"input\":\"Hi\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true}}");
        Assert.NotNull(host.Engine.Submitted.Last().Request.Constraint);
        Assert.Equal("n", response.GetProperty("text").GetProperty("format").GetProperty("name").GetString());
        _ = await host.CreateAsync("\"input\":\"Hi\",\"text\":{\"format\":{\"type\":\"json_object\"}}");
        Assert.NotNull(host.Engine.Submitted.Last().Request.Constraint);
        _ = await host.CreateAsync("\"input\":\"Hi\",\"text\":{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"}");
        Assert.Null(host.Engine.Submitted.Last().Request.Constraint);
    }

    [Theory]
    [InlineData("\"input\":\"x\",\"prompt\":{\"id\":\"p\"}", "prompt")]
    [InlineData("\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"a\"},{\"type\":\"function\",\"name\":\"a\"}]", "tools[1].name")]
    [InlineData("\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"a\"}],\"tool_choice\":{\"type\":\"function\",\"name\":\"b\"}", "tool_choice.name")]
    [InlineData("\"input\":\"x\",\"tool_choice\":\"required\"", "tool_choice")]
    [InlineData("\"input\":\"x\",\"tool_choice\":{\"type\":\"web_search_preview\"}", "tool_choice.type")]
    [InlineData("\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"u\"}]}]", "input[0].content[0].type")]
    [InlineData("\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}]", "input[0].content[0].type")]
    [InlineData("\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"a\",\"parameters\":{\"x\":\"\\ud800\"}}]", "tools[0].parameters")]
    [InlineData("\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"x\":[\"\\udc00\"]}}}", "text.format.schema")]
    [InlineData("\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}]", "input")]
    [InlineData("\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_none\"}]", "input[0].id")]
    [InlineData("\"input\":[]", "input")]
    [InlineData("\"stream\":false", "input")]
    [InlineData("\"input\":\"x\",\"messages\":[]", "messages")]
    [InlineData("\"input\":\"x\",\"response_format\":{\"type\":\"text\"}", "response_format")]
    [InlineData("\"input\":\"x\",\"max_tokens\":5", "max_tokens")]
    [InlineData("\"input\":\"x\",\"n\":2", "n")]
    [InlineData("\"input\":\"x\",\"top_logprobs\":3", "top_logprobs")]
    [InlineData("\"input\":\"x\",\"reasoning\":{\"summary\":\"concise\"}", "reasoning.summary")]
    [InlineData("\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}", "text.format.name")]
    [InlineData("\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"string\",\"pattern\":\"(?=a)\"}}}", "text.format.schema.pattern")]
    [InlineData("\"input\":\"x\",\"truncation\":\"middle\"", "truncation")]
    [InlineData("\"input\":\"x\",\"conversation\":\"conv_none\"", "conversation")]
    [InlineData("\"input\":\"x\",\"previous_response_id\":\"resp_none\"", "previous_response_id")]
    [InlineData("\"input\":\"x\",\"previous_response_id\":\"resp_none\",\"conversation\":\"conv_none\"", "conversation")]
    [InlineData("\"input\":\"x\",\"background\":true,\"store\":false", "background")]
    [InlineData("\"input\":\"x\",\"stream_options\":{}", "stream_options")]
    [InlineData("\"input\":\"x\",\"context_management\":[{\"type\":\"compaction\"}]", "context_management")]
    public async Task What_cannot_be_done_or_is_wrong_is_named(string fields, string param)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("x");
        (int status, string? named, _) = await host.FailAsync(fields);
        Assert.Equal(param, named);
        Assert.InRange(status, 400, 404);
        Assert.Empty(host.Engine.Submitted);
    }

    [Fact]
    public async Task A_prompt_that_is_too_long_is_the_inputs_fault()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("x");
        Assert.Equal((400, "input", "context_length_exceeded"), await host.FailAsync($"\"input\":\"{new string('x', 5000)}\""));
        Assert.Equal((400, "input", "context_length_exceeded"), await host.FailAsync($"\"truncation\":\"auto\",\"input\":\"{new string('x', 5000)}\""));
    }

    [Fact]
    public async Task Without_a_data_directory_responses_are_answered_and_not_kept()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement response = await host.PostJsonAsync(ResponseHost.Path, "{\"model\":\"scripted\",\"input\":\"Hi\"}");
        Assert.False(response.GetProperty("store").GetBoolean());
        using HttpResponseMessage refused = await host.PostAsync(ResponseHost.Path, "{\"model\":\"scripted\",\"input\":\"Hi\",\"store\":true}");
        Assert.Contains("\"param\":\"store\"", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        using HttpResponseMessage missing = await host.Client.GetAsync(new Uri($"{ResponseHost.Path}/{response.GetProperty("id")}", UriKind.Relative));
        Assert.Equal(System.Net.HttpStatusCode.NotFound, missing.StatusCode);
    }
}
