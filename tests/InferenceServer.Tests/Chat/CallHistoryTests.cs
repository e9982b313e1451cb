using System.Text;
using System.Text.Json;
using InferenceServer.Api;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Tests.Chat;

/// <summary>A turn that called a tool, as clients send it back: without content, and with the reasoning that came before.</summary>
public sealed class CallHistoryTests
{
    private static readonly ChatTool Weather = new("weather", "D", JsonDocument.Parse("""{"type":"object","properties":{"city":{"type":"string"}}}""").RootElement);

    private static ChatConversation Conversation(string? content, string? reasoning) => new()
    {
        Messages =
        [
            new() { Role = ChatRole.User, Text = "Rain?" },
            new() { Role = ChatRole.Assistant, Text = content, Reasoning = reasoning, ToolCalls = [new ChatToolCall("callid001", "weather", "{\"city\":\"Oslo\"}")] },
            new() { Role = ChatRole.Tool, Text = "wet", ToolCallId = "callid001", AuthorName = "weather" },
        ],
        Tools = [Weather],
    };

    private static ChatPromptRenderer Renderer(string file) => new(ChatTemplate.Parse(File.ReadAllText(file)), "<s>", "</s>", TimeProvider.System);

    [SkippableFact]
    public void Every_real_template_takes_a_call_without_content()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        StringBuilder faults = new();
        foreach (string file in Directory.GetFiles(folder!, "*.jinja").Order())
        {
            string name = Path.GetFileNameWithoutExtension(file);
            try
            {
                ChatPromptRenderer renderer = Renderer(file);
                string prompt = renderer.Render(Conversation(null, null)), beside = renderer.Render(Conversation("", null));
                foreach (string part in (string[])["Rain?", "weather", "Oslo", "wet"])
                    if (!prompt.Contains(part, StringComparison.Ordinal))
                        faults.AppendLine($"{name}: no {part} in {prompt}");
                if (prompt.Contains("None", StringComparison.Ordinal) && !beside.Contains("None", StringComparison.Ordinal))
                    faults.AppendLine($"{name}: None in {prompt}");
            }
            catch (RequestProblem error)
            {
                faults.AppendLine($"{name}: {error.Message}");
            }
        }

        Assert.True(faults.Length == 0, faults.ToString());
    }

    [SkippableFact]
    public void Gpt_oss_gets_the_reasoning_of_a_call_as_its_template_names_it_and_never_beside_content()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        ChatPromptRenderer renderer = Renderer(Path.Combine(folder!, "openai-gpt-oss-120b.jinja"));
        Assert.Contains("<|start|>assistant<|channel|>analysis<|message|>Let me look.<|end|><|start|>assistant to=functions.weather", renderer.Render(Conversation(null, "Let me look.")), StringComparison.Ordinal);
        string both = renderer.Render(Conversation("One moment.", "Let me look."));
        Assert.Contains("One moment.", both, StringComparison.Ordinal);
        Assert.DoesNotContain("Let me look.", both, StringComparison.Ordinal);
    }
}
