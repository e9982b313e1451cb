using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Tests.Engine.Constraints;
using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>A chat client without HTTP says what the HTTP server says, and obeys what it is asked.</summary>
public sealed class InProcessChatTests(TinyInProcess tiny) : IClassFixture<TinyInProcess>
{
    private const string Schema = """{"type":"object","properties":{"ok":{"type":"boolean"},"kind":{"enum":["A","B"]}},"required":["ok","kind"],"additionalProperties":false}""";

    private IChatClient Chat => tiny.Model.Chat;

    private EngineSnapshot Snapshot => tiny.Model.Served.Engine.Snapshot;

    private static AIFunctionDeclaration Weather() => AIFunctionFactory.CreateDeclaration("weather", "The weather of a city.",
        JsonDocument.Parse("""{"type":"object","properties":{"city":{"enum":["Rome","Oslo"]}},"required":["city"],"additionalProperties":false}""").RootElement);

    [Fact]
    public async Task A_stream_is_the_whole_reply_and_both_are_what_HTTP_answers()
    {
        ChatMessage[] messages = [new(ChatRole.User, "Say something."), new(ChatRole.Assistant, "Something."), new(ChatRole.User, [new TextContent("And "), new TextContent("more.")])];
        ChatOptions options = new() { Instructions = "Be brief.", Temperature = 0, MaxOutputTokens = 24 };
        ChatResponse whole = await Chat.GetResponseAsync(messages, options);
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in Chat.GetStreamingResponseAsync(messages, options))
            updates.Add(update);
        ChatResponse streamed = updates.ToChatResponse();
        JsonElement http = await tiny.Host.PostJsonAsync("/v1/chat/completions", $$"""
            {"model":"{{tiny.Model.Served.Id}}","temperature":0,"max_tokens":24,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Say something."},
             {"role":"assistant","content":"Something."},{"role":"user","content":[{"type":"text","text":"And "},{"type":"text","text":"more."}]}]}
            """);

        JsonElement choice = http.GetProperty("choices")[0], usage = http.GetProperty("usage");
        Assert.Equal(choice.GetProperty("message").GetProperty("content").GetString(), whole.Text);
        Assert.Equal(whole.Text, streamed.Text);
        Assert.True(updates.Count > 2, "the stream came in one piece");
        Assert.Equal(choice.GetProperty("finish_reason").GetString(), whole.FinishReason!.Value.Value);
        Assert.Equal((whole.FinishReason, whole.ModelId), (streamed.FinishReason, streamed.ModelId));
        Assert.Equal(tiny.Model.Served.Id, whole.ModelId);
        Assert.Equal((usage.GetProperty("prompt_tokens").GetInt64(), usage.GetProperty("completion_tokens").GetInt64(), usage.GetProperty("total_tokens").GetInt64()),
            (whole.Usage!.InputTokenCount, whole.Usage.OutputTokenCount, whole.Usage.TotalTokenCount));
        // The second call found the first one's prompt.
        Assert.Equal(whole.Usage.InputTokenCount - 1, streamed.Usage!.CachedInputTokenCount);
        Assert.All(updates, update => Assert.Equal((updates[0].ResponseId, updates[0].MessageId, ChatRole.Assistant), (update.ResponseId, update.MessageId, update.Role)));
        Assert.NotEqual(whole.ResponseId, streamed.ResponseId);
        Assert.IsType<double>(updates[^1].AdditionalProperties!["first_token_seconds"]);
    }

    [Fact]
    public async Task A_required_call_is_made_and_its_result_told()
    {
        ChatOptions options = new() { Tools = [Weather()], ToolMode = ChatToolMode.RequireAny, AllowMultipleToolCalls = false, Temperature = 0, MaxOutputTokens = 200 };
        List<ChatMessage> messages = [new(ChatRole.User, "Weather?")];
        ChatResponse whole = await Chat.GetResponseAsync(messages, options), streamed = await Chat.GetStreamingResponseAsync(messages, options).ToChatResponseAsync();
        options.ToolMode = ChatToolMode.RequireSpecific("weather");
        ChatResponse named = await Chat.GetResponseAsync(messages, options);
        foreach (ChatResponse response in (ChatResponse[])[whole, streamed, named])
        {
            FunctionCallContent call = Assert.Single(response.Messages.Single().Contents.OfType<FunctionCallContent>());
            Assert.Equal(("weather", ChatFinishReason.ToolCalls, null), (call.Name, response.FinishReason, call.Exception));
            Assert.Contains(call.Arguments!["city"]!.ToString(), (string[])["Rome", "Oslo"]);
        }

        messages.AddRange(whole.Messages);
        messages.Add(new(ChatRole.Tool, [new FunctionResultContent(whole.Messages[0].Contents.OfType<FunctionCallContent>().Single().CallId, JsonSerializer.SerializeToElement("sunny"))]));
        options.ToolMode = ChatToolMode.None;
        ChatResponse told = await Chat.GetResponseAsync(messages, options);
        Assert.DoesNotContain(told.Messages.Single().Contents, content => content is FunctionCallContent);

        // The same history over HTTP is the same prompt, the call's and the result's notation included.
        FunctionCallContent made = whole.Messages[0].Contents.OfType<FunctionCallContent>().Single();
        JsonElement http = await tiny.Host.PostJsonAsync("/v1/chat/completions", $$$"""
            {"model":"{{{tiny.Model.Served.Id}}}","temperature":0,"max_tokens":1,"messages":[{"role":"user","content":"Weather?"},
             {"role":"assistant","content":null,"tool_calls":[{"id":"{{{made.CallId}}}","type":"function","function":{"name":"weather","arguments":"{\"city\":\"{{{made.Arguments!["city"]}}}\"}"}}]},
             {"role":"tool","tool_call_id":"{{{made.CallId}}}","content":"sunny"}]}
            """);
        Assert.Equal(http.GetProperty("usage").GetProperty("prompt_tokens").GetInt64(), told.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task A_call_that_a_limit_cut_off_is_left_out()
    {
        ChatResponse cut = await Chat.GetResponseAsync("Weather?", new ChatOptions { Tools = [Weather()], ToolMode = ChatToolMode.RequireAny, Temperature = 0, MaxOutputTokens = 40 });
        Assert.Equal((ChatFinishReason.Length, 40), (cut.FinishReason, cut.Usage!.OutputTokenCount));
        Assert.DoesNotContain(cut.Messages.SelectMany(message => message.Contents), content => content is FunctionCallContent);
    }

    [Fact]
    public async Task JSON_and_a_schema_are_held()
    {
        ChatOptions options = new() { MaxOutputTokens = 400, Seed = 3, ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonDocument.Parse(Schema).RootElement) };
        ChatResponse held = await Chat.GetResponseAsync("Answer.", options);
        Assert.True(SchemaValidator.IsValid(Schema, held.Text), held.Text);

        options.ResponseFormat = ChatResponseFormat.Json;
        Assert.StartsWith("{", (await Chat.GetResponseAsync("Answer.", options)).Text.TrimStart(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Calling_off_and_leaving_stop_the_engine(bool byToken)
    {
        // A random model would end at some token; within such a text it may not.
        ChatOptions endless = new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonDocument.Parse("""{"type":"array","items":{"type":"boolean"},"minItems":2000}""").RootElement) };
        long before = Snapshot.CancelledRequests;
        using CancellationTokenSource enough = new();
        int pieces = 0;
        async Task ReadAsync()
        {
            await foreach (ChatResponseUpdate _ in Chat.GetStreamingResponseAsync("Go on.", endless, enough.Token))
                if (++pieces == 3 && byToken)
                    await enough.CancelAsync();
                else if (pieces == 3)
                    return;
        }

        if (byToken)
            Assert.Equal(enough.Token, (await Assert.ThrowsAnyAsync<OperationCanceledException>(ReadAsync)).CancellationToken);
        else
            await ReadAsync();
        await Eventually.HoldsAsync(() => Task.FromResult(Snapshot.CancelledRequests == before + 1 && Snapshot.RunningRequests == 0));
    }

    [Fact]
    public async Task A_conversation_is_a_session_of_the_engine_and_never_claims_to_hold_the_history()
    {
        ChatResponse response = await Chat.GetResponseAsync("Remember.", new ChatOptions { ConversationId = "kept", MaxOutputTokens = 4 });
        Assert.Null(response.ConversationId);
        Assert.Contains(await tiny.Model.Served.Engine.ListSessionsAsync(""), session => session.Id == "kept");
    }

    [Fact]
    public async Task Moderation_that_is_asked_for_flags_and_refuses()
    {
        ChatResponse refused = await Chat.GetResponseAsync("I want to kill them.", new ChatOptions { AdditionalProperties = new() { ["moderation"] = "refuse" }, MaxOutputTokens = 4 });
        Assert.Equal(ChatFinishReason.ContentFilter, refused.FinishReason);
        Assert.NotEqual("", Assert.Single(refused.Messages.Single().Contents.OfType<ErrorContent>()).Message);
        Assert.Contains("violence", Assert.IsType<string[]>(Properties(refused)["flagged"]));

        ChatResponse plain = await Chat.GetResponseAsync("I want to kill them.", new ChatOptions { MaxOutputTokens = 4 });
        Assert.False(Properties(plain).ContainsKey("flagged"));
    }

    private static AdditionalPropertiesDictionary Properties(ChatResponse response) => response.AdditionalProperties ?? response.Messages.Single().AdditionalProperties!;

    [Fact]
    public async Task The_client_says_what_it_is_and_is_not_the_models_owner()
    {
        ChatClientMetadata metadata = Chat.GetRequiredService<ChatClientMetadata>();
        Assert.Equal(("InferenceServer", tiny.Model.Served.Id), (metadata.ProviderName, metadata.DefaultModelId));
        Assert.Same(Chat, Chat.GetService(typeof(IChatClient)));
        Assert.Null(Chat.GetService(typeof(IChatClient), "key"));
        Chat.Dispose();
        Assert.NotNull(await Chat.GetResponseAsync("Still here?", new ChatOptions { MaxOutputTokens = 2 }));
    }
}
