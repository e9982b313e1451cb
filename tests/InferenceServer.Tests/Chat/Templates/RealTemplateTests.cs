using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Templates;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Tests.Chat.Templates;

/// <summary>Templates as model makers ship them must render as Python's Jinja2 renders them: the model was trained on exactly that text.</summary>
public class RealTemplateTests
{
    private static readonly FakeTimeProvider Clock = new(new DateTimeOffset(2026, 11, 22, 10, 30, 0, TimeSpan.Zero));

    [SkippableFact]
    public void Every_shipped_template_renders_every_case_byte_for_byte()
    {
        string folder = FindFolder();
        StringBuilder faults = new();
        int cases = 0;
        foreach (string file in Directory.GetFiles(folder, "*.cases.json"))
        {
            string name = Path.GetFileName(file)[..^".cases.json".Length];
            ChatTemplate template = ChatTemplate.Parse(File.ReadAllText(Path.Combine(folder, name + ".jinja")));
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            foreach (JsonElement each in document.RootElement.EnumerateArray())
            {
                cases++;
                (string expected, string actual) = Run(template, each);
                if (expected != actual)
                    faults.AppendLine($"{name}/{each.GetProperty("name").GetString()}:\nexpected {expected}\nactual   {actual}");
            }
        }
        Assert.True(faults.Length == 0, faults.ToString());
        Assert.True(cases > 400, $"only {cases} cases were found in {folder}");
    }

    [SkippableFact]
    public void One_template_renders_alike_from_many_threads_at_once()
    {
        string folder = FindFolder();
        string name = Path.Combine(folder, "Qwen-Qwen3-0.6B");
        ChatTemplate template = ChatTemplate.Parse(File.ReadAllText(name + ".jinja"));
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(name + ".cases.json"));
        JsonElement[] cases = [.. document.RootElement.EnumerateArray()];
        Parallel.For(0, 400, i =>
        {
            (string expected, string actual) = Run(template, cases[i % cases.Length]);
            Assert.Equal(expected, actual);
        });
    }

    [SkippableTheory]
    [InlineData("google-gemma-2-2b-it", false, false, false)]
    [InlineData("Qwen-Qwen3-0.6B", true, false, true)]
    [InlineData("mistralai-Ministral-3-14B-Reasoning-2512", true, true, true)]
    public void Probing_tells_what_a_template_takes(string name, bool system, bool parts, bool tools)
    {
        ChatTemplateFeatures features = ChatTemplate.Parse(File.ReadAllText(Path.Combine(FindFolder(), name + ".jinja"))).Features;
        Assert.True(features.TakesTextContent);
        Assert.Equal((system, parts, tools), (features.TakesSystemRole, features.TakesContentParts, features.TakesTools));
    }

    private static string FindFolder()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        return folder!;
    }

    private static (string Expected, string Actual) Run(ChatTemplate template, JsonElement each)
    {
        string expected = each.TryGetProperty("raises", out JsonElement raises) ? "raised: " + raises.GetString() : each.GetProperty("expected").GetString()!;
        try
        {
            return (expected, template.Render(TemplateDict.FromJson(each.GetProperty("context")), Clock));
        }
        catch (TemplateRaisedException e)
        {
            return (expected, "raised: " + e.RaisedMessage);
        }
        catch (TemplateException e)
        {
            return (expected, "failed: " + e.Message);
        }
    }
}
