using System.Text;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Tests.Chat;

/// <summary>Conversations as agents send them, before every real template: no text is lost, and none is refused.</summary>
public sealed class SayableConversationTests
{
    private static ChatMessage Says(ChatRole role, string text) => new() { Role = role, Text = text };

    private static ChatMessage Calls(string arguments) => new() { Role = ChatRole.Assistant, ToolCalls = [new ChatToolCall("callid001", "weather", arguments)] };

    private static ChatMessage Answers(string text) => new() { Role = ChatRole.Tool, Text = text, ToolCallId = "callid001", AuthorName = "weather" };

    private static readonly (string Name, string[] Texts, ChatMessage[] Messages)[] Conversations =
    [
        ("system and developer", ["SYSTEXT", "DEVTEXT", "USERTEXT"], [Says(ChatRole.System, "SYSTEXT"), Says(ChatRole.Developer, "DEVTEXT"), Says(ChatRole.User, "USERTEXT")]),
        ("developer alone", ["DEVTEXT", "USERTEXT"], [Says(ChatRole.Developer, "DEVTEXT"), Says(ChatRole.User, "USERTEXT")]),
        ("three systems", ["ONETEXT", "TWOTEXT", "TRETEXT"], [Says(ChatRole.System, "ONETEXT"), Says(ChatRole.System, "TWOTEXT"), Says(ChatRole.System, "TRETEXT"), Says(ChatRole.User, "Hi")]),
        ("late system", ["SYSTEXT", "LATETEXT", "NEXTTEXT"],
            [Says(ChatRole.System, "SYSTEXT"), Says(ChatRole.User, "Hi"), Says(ChatRole.Assistant, "Ho"), Says(ChatRole.System, "LATETEXT"), Says(ChatRole.User, "NEXTTEXT")]),
        ("system at the end", ["USERTEXT", "LATETEXT"], [Says(ChatRole.User, "USERTEXT"), Says(ChatRole.System, "LATETEXT")]),
        ("two users", ["ONETEXT", "TWOTEXT"], [Says(ChatRole.User, "ONETEXT"), Says(ChatRole.User, "TWOTEXT")]),
        ("two assistants", ["ONETEXT", "TWOTEXT"], [Says(ChatRole.User, "Hi"), Says(ChatRole.Assistant, "ONETEXT"), Says(ChatRole.Assistant, "TWOTEXT"), Says(ChatRole.User, "So?")]),
        ("assistant first", ["ASSTEXT", "USERTEXT"], [Says(ChatRole.Assistant, "ASSTEXT"), Says(ChatRole.User, "USERTEXT")]),
        ("result first", ["RESTEXT", "USERTEXT"], [Answers("RESTEXT"), Says(ChatRole.User, "USERTEXT")]),
        ("no user", ["SYSTEXT"], [Says(ChatRole.System, "SYSTEXT")]),
        ("cut call", ["USERTEXT", "CITYTEXT", "NEXTTEXT"], [Says(ChatRole.User, "USERTEXT"), Calls("{\"city\":\"CITYTEXT"), Says(ChatRole.User, "NEXTTEXT")]),
        ("cut call with a result", ["CITYTEXT", "RESTEXT"], [Says(ChatRole.User, "Hi"), Calls("{\"city\":\"CITYTEXT"), Answers("RESTEXT"), Says(ChatRole.User, "So?")]),
        ("silent assistant", ["USERTEXT", "NEXTTEXT"], [Says(ChatRole.User, "USERTEXT"), new() { Role = ChatRole.Assistant, Parts = [] }, Says(ChatRole.User, "NEXTTEXT")]),
    ];

    [SkippableFact]
    public void Every_real_template_says_all_of_it()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        StringBuilder faults = new();
        foreach (string file in Directory.GetFiles(folder!, "*.jinja").Order())
        {
            ChatPromptRenderer renderer = new(ChatTemplate.Parse(File.ReadAllText(file)), "<s>", "</s>", TimeProvider.System);
            foreach ((string name, string[] texts, ChatMessage[] messages) in Conversations)
            {
                try
                {
                    string prompt = renderer.Render(new ChatConversation { Messages = messages });
                    if (Array.FindAll(texts, text => !prompt.Contains(text, StringComparison.Ordinal)) is { Length: > 0 } lost)
                        faults.AppendLine($"{Path.GetFileName(file)}: {name}: lost {string.Join(' ', lost)}");
                }
                catch (RequestProblem problem)
                {
                    faults.AppendLine($"{Path.GetFileName(file)}: {name}: {problem.Message}");
                }
            }
        }

        Assert.True(faults.Length == 0, faults.ToString());
    }

    [Fact]
    public void A_template_that_prints_any_role_gets_none_that_its_model_was_not_trained_on()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"), "", "", TimeProvider.System);
        List<string> adaptations = [];
        Assert.Equal("[system]S\n\nD[user]U", renderer.Render(new ChatConversation
        {
            Messages = [Says(ChatRole.System, "S"), Says(ChatRole.Developer, "D"), Says(ChatRole.User, "U")],
            Adaptations = adaptations,
        }).Replace("[system]S[system]D", "[system]S\n\nD", StringComparison.Ordinal));
        Assert.Contains("developer-as-system", adaptations);
    }

    [Fact]
    public void Nothing_is_done_to_what_a_template_can_say()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse(BuiltinTemplates.ChatMLSource), "", "", TimeProvider.System);
        List<string> adaptations = [];
        renderer.Render(new ChatConversation { Messages = [Says(ChatRole.System, "S"), Says(ChatRole.User, "U"), Says(ChatRole.Assistant, "A"), Says(ChatRole.User, "V")], Adaptations = adaptations });
        Assert.Empty(adaptations);
    }

    [Fact]
    public void A_last_message_of_the_assistant_is_gone_on_with_where_it_ends()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse(BuiltinTemplates.ChatMLSource), "", "", TimeProvider.System);
        ChatConversation begun = new() { Messages = [Says(ChatRole.User, "Count."), Says(ChatRole.Assistant, "One, two, ")], ContinuesFinalMessage = true };
        Assert.EndsWith("<|im_start|>assistant\nOne, two, ", renderer.Render(begun), StringComparison.Ordinal);
        Assert.Equal(nameof(ChatRequest.Messages), Assert.Throws<RequestProblem>(() => renderer.Render(begun with { Messages = [Says(ChatRole.User, "Count.")] })).Where);
    }

    [Fact]
    public void A_template_that_goes_through_no_tools_is_told_of_none_at_all()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse("{% for t in tools %}{{ t }}{% endfor %}{{ messages[0].content }}{{ functions }}"), "", "", TimeProvider.System);
        Assert.Equal("Hi[]", renderer.Render(new ChatConversation { Messages = [Says(ChatRole.User, "Hi")] }));
    }
}
