using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;
using Xunit;

namespace InferenceServer.Tests.Chat.Templates;

public class BuiltinTemplateTests
{
    [Theory]
    [InlineData(
        """{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}""",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData(
        """{"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}""",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nab<|im_end|>\n")]
    [InlineData(
        """
        {"messages": [{"role": "user", "content": "x"},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g", "arguments": "{}"}}]},
          {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "ok"}]}
        """,
        "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n"
            + "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
            + "<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n")]
    public void ChatML_renders_turns_tools_and_results(string context, string expected)
    {
        using JsonDocument document = JsonDocument.Parse(context);
        Assert.Equal(expected, BuiltinTemplates.ChatML.Render(TemplateDict.FromJson(document.RootElement), TimeProvider.System));
    }

    [Fact]
    public void ChatML_takes_every_kind_of_message()
    {
        ChatTemplateFeatures features = BuiltinTemplates.ChatML.Features;
        Assert.True(features.TakesTextContent && features.TakesContentParts && features.TakesSystemRole && features.TakesDeveloperRole);
        Assert.True(features.TakesTools && features.TakesToolCalls && features.TakesToolRole && !features.WantsArgumentsAsText);
    }
}
