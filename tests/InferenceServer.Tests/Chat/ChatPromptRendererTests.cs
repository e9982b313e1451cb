using InferenceServer.Chat;
using InferenceServer.Tests.Engine;

namespace InferenceServer.Tests.Chat;

/// <summary>Which of a model's templates is used, and what becomes of one that cannot be.</summary>
public sealed class ChatPromptRendererTests
{
    private const string Plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    private const string WithTools = "{% for t in tools or [] %}tool {{ t.function.name }}\n{% endfor %}{% for m in messages %}{{ m.role }}> {{ m.content }}\n{% endfor %}";

    private static readonly ChatMessage Hi = new() { Role = ChatRole.User, Text = "Hi" };

    private static async Task<T> WithAsync<T>(Func<TinyEngine, T> use)
    {
        await using TinyEngine tiny = new();
        return use(tiny);
    }

    [Fact]
    public async Task A_models_own_template_for_tools_is_used_where_there_are_tools()
    {
        (string plain, string tools) = await WithAsync(tiny =>
        {
            List<string> notes = [];
            ChatPromptRenderer renderer = ChatPromptRenderer.Create(null, Plain, WithTools, tiny.Vocab, TimeProvider.System, notes);
            Assert.Empty(notes);
            return (renderer.Render(new ChatConversation { Messages = [Hi] }), renderer.Render(new ChatConversation { Messages = [Hi], Tools = [new ChatTool("look")] }));
        });
        Assert.Equal("user: Hi\n", plain);
        Assert.Equal("tool look\nuser> Hi\n", tools);
    }

    [Fact]
    public async Task A_models_template_that_cannot_be_parsed_is_a_note_and_every_chats_error()
    {
        await WithAsync(tiny =>
        {
            List<string> notes = [];
            ChatPromptRenderer renderer = ChatPromptRenderer.Create(null, "{% for m in %}", null, tiny.Vocab, TimeProvider.System, notes);
            Assert.Contains("chats are refused", Assert.Single(notes), StringComparison.Ordinal);
            RequestProblem problem = Assert.Throws<RequestProblem>(() => renderer.Render(new ChatConversation { Messages = [Hi] }));
            Assert.Equal((ProblemKind.Invalid, "template_error"), (problem.Kind, problem.Code));
            Assert.Contains("--chat-template", problem.Message, StringComparison.Ordinal);
            return 0;
        });
    }

    [Fact]
    public async Task An_effort_that_a_template_does_not_know_is_left_out_and_told()
    {
        List<string> told = [];
        string text = await WithAsync(tiny => ChatPromptRenderer.Create(null, Plain, null, tiny.Vocab, TimeProvider.System, [])
            .Render(new ChatConversation { Messages = [Hi], ReasoningEffort = "high", Adaptations = told }));
        Assert.Equal(("user: Hi\n", "reasoning-effort-left-out"), (text, Assert.Single(told)));
    }
}
