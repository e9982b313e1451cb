using System.Text.Json;
using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>What cannot be had is an exception that names the place in the words of Microsoft.Extensions.AI.</summary>
public sealed class InProcessErrorTests(TinyInProcess tiny) : IClassFixture<TinyInProcess>
{
    public static TheoryData<string> Unsupported => ["image", "link", "thought of a user", "text of a tool", "role", "tool", "raw", "summary"];

    public static TheoryData<string, string> Wrong => new()
    {
        { "temperature", "'ChatOptions.Temperature'" },
        { "nan", "'ChatOptions.TopP'" },
        { "stop", "'ChatOptions.StopSequences[1]'" },
        { "model", "'ChatOptions.ModelId'" },
        { "schema", "'ChatOptions.ResponseFormat.Schema.properties.x.format'" },
        { "tool schema", "'ChatOptions.Tools[0].JsonSchema.properties.x.format'" },
        { "tool name", "'ChatOptions.Tools[0].Name'" },
        { "no tools", "'ChatOptions.ToolMode'" },
        { "unknown tool", "'ChatOptions.ToolMode.RequiredFunctionName'" },
        { "empty", "'messages'" },
        { "nothing said", "'messages[0]'" },
        { "nul", "'messages[0].Contents[0]'" },
        { "half a pair", "'messages[0].Contents[0]'" },
        { "unknown call", "'messages[1].Contents[0].CallId'" },
        { "too long", "context of" },
        { "moderation", "AdditionalProperties[\"moderation\"]" },
    };

    [Theory]
    [MemberData(nameof(Unsupported))]
    public async Task What_the_model_cannot_take_is_named(string what)
    {
        (ChatMessage message, ChatOptions options, string named) = what switch
        {
            "image" => (new ChatMessage(ChatRole.User, [new TextContent("See:"), new DataContent(new byte[] { 1 }, "image/png")]), new ChatOptions(), "messages[0].Contents[1], DataContent of image/png"),
            "link" => (new ChatMessage(ChatRole.User, [new UriContent("https://example.com/a.wav", "audio/wav")]), new(), "messages[0].Contents[0], UriContent of audio/wav"),
            "thought of a user" => (new ChatMessage(ChatRole.User, [new TextReasoningContent("hm")]), new(), "TextReasoningContent in a message of role 'user'"),
            "text of a tool" => (new ChatMessage(ChatRole.Tool, "sunny"), new(), "TextContent in a message of role 'tool'"),
            "role" => (new ChatMessage(new ChatRole("narrator"), "Once"), new(), "messages[0].Role"),
            "tool" => (new ChatMessage(ChatRole.User, "Hi"), new() { Tools = [new HostedWebSearchTool()] }, "ChatOptions.Tools[0], HostedWebSearchTool"),
            "raw" => (new ChatMessage(ChatRole.User, "Hi"), new() { RawRepresentationFactory = _ => 1 }, "ChatOptions.RawRepresentationFactory"),
            _ => (new ChatMessage(ChatRole.User, "Hi"), new() { Reasoning = new() { Output = ReasoningOutput.Summary } }, "ChatOptions.Reasoning.Output"),
        };
        NotSupportedException error = await Assert.ThrowsAsync<NotSupportedException>(() => tiny.Model.Chat.GetResponseAsync([message], options));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task What_is_wrong_is_named(string what, string named)
    {
        JsonElement schema = JsonDocument.Parse("""{"type":"object","properties":{"x":{"type":"string","format":"no-such-format"}}}""").RootElement;
        JsonElement any = JsonDocument.Parse("""{"type":"object"}""").RootElement;
        ChatMessage hi = new(ChatRole.User, "Hi");
        ChatMessage[] messages = what switch
        {
            "empty" => [],
            "nothing said" => [new(ChatRole.User, [])],
            "nul" => [new(ChatRole.User, "a\0b")],
            "half a pair" => [new(ChatRole.User, "a\U0001F600\uD83Db")],
            "unknown call" => [hi, new(ChatRole.Tool, [new FunctionResultContent("call_1", "sunny")])],
            "too long" => [new(ChatRole.User, new string('x', 9000))],
            _ => [hi],
        };
        ChatOptions options = what switch
        {
            "temperature" => new() { Temperature = 2.5f },
            "nan" => new() { TopP = float.NaN },
            "stop" => new() { StopSequences = ["end", ""] },
            "model" => new() { ModelId = "another" },
            "schema" => new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(schema) },
            "tool schema" => new() { Tools = [AIFunctionFactory.CreateDeclaration("f", null, schema)], ToolMode = ChatToolMode.RequireAny },
            "tool name" => new() { Tools = [AIFunctionFactory.CreateDeclaration("two words", null, any)] },
            "no tools" => new() { ToolMode = ChatToolMode.RequireAny },
            "unknown tool" => new() { Tools = [AIFunctionFactory.CreateDeclaration("f", null, any)], ToolMode = ChatToolMode.RequireSpecific("g") },
            "moderation" => new() { AdditionalProperties = new() { ["moderation"] = "block" } },
            _ => new(),
        };
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => tiny.Model.Chat.GetResponseAsync(messages, options));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.IsType<RequestProblem>(error.InnerException);
    }
}
