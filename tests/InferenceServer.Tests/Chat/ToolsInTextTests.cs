using System.Text.Json;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;
using InferenceServer.Tests.Chat.Replies;

namespace InferenceServer.Tests.Chat;

/// <summary>Templates that know no tools: the model must be told of them all the same, and see its calls as it is to write them.</summary>
public sealed class ToolsInTextTests
{
    // Insists on turns, as Gemma's does, and drops whatever it does not know.
    private const string Strict = """
        {%- for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('system not first') }}{% endif %}
        {%- if m.role != 'system' and (m.role == 'user') != ((loop.index0 - (1 if messages[0].role == 'system' else 0)) % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}
        {{- '[' ~ m.role ~ ']' ~ m.content ~ '[end]' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}
        """;

    private static readonly ChatTool Weather = new("weather", "Says how it is \"out\".",
        JsonDocument.Parse("""{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}""").RootElement);

    private static ChatPromptRenderer Renderer => new(ChatTemplate.Parse(Strict), "", "", TimeProvider.System);

    [Fact]
    public void Definitions_stand_in_the_system_message_and_calls_and_results_in_the_text()
    {
        ChatPromptRenderer renderer = Renderer;
        Assert.Equal("generic", renderer.Replies.Calls[0].Name);
        string prompt = renderer.Render(new ChatConversation
        {
            Tools = [Weather, new("now")],
            Messages =
            [
                new() { Role = ChatRole.System, Text = "Be kind." },
                new() { Role = ChatRole.User, Text = "Oslo?" },
                new() { Role = ChatRole.Assistant, Text = "One moment.", ToolCalls = [new("c1", "weather", """{"city": "Oslo"}"""), new("c2", "now", "{}")] },
                new() { Role = ChatRole.Tool, ToolCallId = "c1", Text = "rain" },
                new() { Role = ChatRole.Tool, ToolCallId = "c2", Text = "noon" },
                new() { Role = ChatRole.User, Text = "And?" },
            ],
        });
        Assert.StartsWith("[system]Be kind.\n\nYou may call", prompt, StringComparison.Ordinal);
        Assert.Contains("""{"type":"function","function":{"name":"weather","description":"Says how it is \"out\".","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}""", prompt, StringComparison.Ordinal);
        Assert.Contains("\"name\":\"now\"", prompt, StringComparison.Ordinal);
        Assert.EndsWith("[user]<tool_response>\nrain\n</tool_response>\n<tool_response>\nnoon\n</tool_response>\nAnd?[end][assistant]", prompt, StringComparison.Ordinal);

        // What the history shows of a call is what a reply is read by.
        string reply = prompt[(prompt.IndexOf("[assistant]", StringComparison.Ordinal) + "[assistant]".Length)..];
        ReplyParts parts = ReplyParts.Of(renderer.Replies, reply[..reply.IndexOf("[end]", StringComparison.Ordinal)], [new("weather", null), new("now", null)]);
        Assert.Equal("One moment.", parts.Content);
        Assert.True(parts.Has([("weather", """{"city": "Oslo"}"""), ("now", "{}")]), parts.ToString());
    }

    [Fact]
    public void Without_a_system_message_one_is_made_and_without_tools_nothing_changes()
    {
        ChatConversation plain = new() { Messages = [new() { Role = ChatRole.User, Text = "Hi" }] };
        Assert.Equal("[user]Hi[end][assistant]", Renderer.Render(plain));
        string prompt = Renderer.Render(plain with { Tools = [Weather] });
        Assert.StartsWith("[system]You may call", prompt, StringComparison.Ordinal);
        Assert.Contains("<tool_call>\n{\"name\": \"name\", \"arguments\": {\"argument\": \"value\"}}\n</tool_call>[end][user]Hi", prompt, StringComparison.Ordinal);
    }

    [Fact]
    public void A_template_that_knows_tools_is_left_to_itself()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse(BuiltinTemplates.ChatMLSource), "", "", TimeProvider.System);
        string prompt = renderer.Render(new ChatConversation
        {
            Tools = [Weather],
            Messages = [new() { Role = ChatRole.User, Text = "Hi" }, new() { Role = ChatRole.Assistant, ToolCalls = [new("c1", "weather", "{}")] }, new() { Role = ChatRole.Tool, ToolCallId = "c1", Text = "rain" }],
        });
        Assert.Equal(1, prompt.Split("<tools>").Length - 1);
        Assert.DoesNotContain("To call one", prompt, StringComparison.Ordinal);
    }
}
