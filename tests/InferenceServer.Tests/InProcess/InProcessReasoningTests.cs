using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>What the model thinks in the open is told apart from what it says, and can be left out.</summary>
public sealed class InProcessReasoningTests(InProcessReasoningTests.Thinker tiny) : IClassFixture<InProcessReasoningTests.Thinker>
{
    /// <summary>The prompt opens the thinking, unless it is switched off.</summary>
    public sealed class Thinker : TinyInProcess
    {
        protected override string ChatTemplate => """
            {%- for m in messages %}{{ '[' ~ m.role ~ ']' }}{% if m.role == 'assistant' %}{{ '<think>\n' ~ (m.reasoning_content or '') ~ '\n</think>\n\n' }}{% endif %}{{ (m.content or '') ~ '<|end|>' }}
            {%- endfor %}{% if add_generation_prompt %}{{ '[assistant]<think>\n' }}{% if enable_thinking is defined and not enable_thinking %}{{ '\n</think>\n\n' }}{% endif %}{% endif %}
            """;
    }

    private static ChatOptions Options(ReasoningOptions? reasoning) => new() { Seed = 5, MaxOutputTokens = 30, Reasoning = reasoning };

    [Fact]
    public async Task Thinking_comes_as_reasoning_and_counts_as_such()
    {
        ChatResponse whole = await tiny.Model.Chat.GetResponseAsync("Answer", Options(null));
        ChatResponse streamed = await tiny.Model.Chat.GetStreamingResponseAsync("Answer", Options(null)).ToChatResponseAsync();
        string thought = Assert.Single(whole.Messages.Single().Contents.OfType<TextReasoningContent>()).Text;
        Assert.Equal(("", thought), (whole.Text, Assert.Single(streamed.Messages.Single().Contents.OfType<TextReasoningContent>()).Text));
        Assert.NotEqual("", thought);
        Assert.Equal(whole.Usage!.OutputTokenCount, whole.Usage.ReasoningTokenCount);

        // In the history it goes where the template wants it.
        ChatResponse next = await tiny.Model.Chat.GetResponseAsync([new(ChatRole.User, "Answer"), .. whole.Messages, new(ChatRole.User, "And?")], Options(null));
        ChatResponse without = await tiny.Model.Chat.GetResponseAsync([new(ChatRole.User, "Answer"), new(ChatRole.Assistant, ""), new(ChatRole.User, "And?")], Options(null));
        Assert.True(next.Usage!.InputTokenCount > without.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task Reasoning_can_be_kept_quiet_or_switched_off()
    {
        ChatResponse quiet = await tiny.Model.Chat.GetResponseAsync("Answer", Options(new() { Output = ReasoningOutput.None }));
        Assert.DoesNotContain(quiet.Messages.SelectMany(message => message.Contents), content => content is TextReasoningContent);
        Assert.Equal(quiet.Usage!.OutputTokenCount, quiet.Usage.ReasoningTokenCount);

        ChatResponse off = await tiny.Model.Chat.GetResponseAsync("Answer", Options(new() { Effort = ReasoningEffort.None }));
        Assert.NotEqual("", off.Text);
        Assert.Equal(0, off.Usage!.ReasoningTokenCount);
    }
}
