using System.Globalization;
using System.Text;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;
using InferenceServer.Tests.Docs;

namespace InferenceServer.Tests.Chat;

/// <summary>docs/conversation-adaptation.md, which says of each of the templates that are at hand what is done to conversations before it.</summary>
public sealed class AdaptationPageTests
{
    private static ChatMessage Says(ChatRole role, string text) => new() { Role = role, Text = text };

    private static readonly (string Title, ChatMessage[] Messages)[] Columns =
    [
        ("developer message", [Says(ChatRole.Developer, "D"), Says(ChatRole.User, "U")]),
        ("second system message", [Says(ChatRole.System, "S"), Says(ChatRole.System, "T"), Says(ChatRole.User, "U")]),
        ("late system message", [Says(ChatRole.System, "S"), Says(ChatRole.User, "U"), Says(ChatRole.Assistant, "A"), Says(ChatRole.System, "T"), Says(ChatRole.User, "V")]),
        ("two users in a row", [Says(ChatRole.User, "U"), Says(ChatRole.User, "V")]),
        ("assistant first", [Says(ChatRole.Assistant, "A"), Says(ChatRole.User, "U")]),
        ("tool result first", [new() { Role = ChatRole.Tool, Text = "R", ToolCallId = "callid001", AuthorName = "f" }, Says(ChatRole.User, "U")]),
        ("no user's turn", [Says(ChatRole.System, "S")]),
        ("silent assistant", [Says(ChatRole.User, "U"), new() { Role = ChatRole.Assistant, Parts = [] }, Says(ChatRole.User, "V")]),
    ];

    private static readonly (string Name, string Cell, string Meaning)[] Adaptations =
    [
        ("developer-as-system", "as system", "A developer message becomes a system message."),
        ("instructions-joined", "joined", "System messages at the beginning become one, with a blank line between them."),
        ("instructions-to-user", "to the user", "A system message that has no place stands before what the user says next. Without such a turn it becomes one."),
        ("result-to-user", "to the user", "A result whose call is not there becomes a user's turn, within `<tool_response>`."),
        ("user-added", "user's turn", "A user's turn `...` is put where the template wants one. Where only the application speaks, its last message becomes the user's."),
        ("silent-turn-left-out", "left out", "An assistant's turn without text and without calls is left out. One that only thought says `...`."),
        ("turns-joined", "turns joined", "Turns of one role in a row become one turn of several parts."),
        ("assistant-added", "assistant's turn", "An assistant's turn `...` is put between a result and what the user says next."),
        ("calls-as-text", "as text", "A call whose arguments were cut off is no JSON. It is said as text, or its text becomes an argument where somebody answered it."),
        ("characters-replaced", "replaced", "NUL, and half of a pair of surrogates, become U+FFFD."),
    ];

    [SkippableFact]
    public async Task The_page_is_what_is_done_before_each_template()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        StringBuilder text = new();
        text.Append("# Conversation adaptation\n\n").Append(GeneratedPage.Notice(nameof(AdaptationPageTests)))
            .Append("Chat templates differ in what they can say. The server measures each template when it loads it, and adapts a conversation only where the template would refuse it, lose a text of it, or print a role that its model does not know.\n")
            .Append("No text is lost. The header `x-conversation-adapted` lists what was done, on answers and on counted tokens.\n\n")
            .Append("| in the header | in the table | what happens |\n|---|---|---|\n");
        foreach ((string name, string cell, string meaning) in Adaptations)
            text.Append(CultureInfo.InvariantCulture, $"| `{name}` | {cell} | {meaning} |\n");
        text.Append("\n## Templates\n\nAn empty cell says that the template takes it as it is. Parts of a message are always said, a line each.\n\n")
            .Append("| template | ").AppendJoin(" | ", Columns.Select(column => column.Title)).Append(" | parts |\n|---|").Append(string.Concat(Enumerable.Repeat("---|", Columns.Length + 1))).Append('\n');
        foreach (string file in Directory.GetFiles(folder!, "*.jinja").Order(StringComparer.OrdinalIgnoreCase))
        {
            ChatTemplate template = ChatTemplate.Parse(await File.ReadAllTextAsync(file));
            ChatPromptRenderer renderer = new(template, "<s>", "</s>", TimeProvider.System);
            text.Append(CultureInfo.InvariantCulture, $"| {Path.GetFileNameWithoutExtension(file)} | {string.Join(" | ", Columns.Select(column => Cell(renderer, template.Features, column.Messages)))} | {(template.Features.TakesTextContent ? "one text" : "one part")} |\n");
        }

        await GeneratedPage.CheckAsync("conversation-adaptation.md", text.ToString());
    }

    [Fact]
    public void Every_name_that_the_rules_give_is_explained()
    {
        string source = File.ReadAllText(Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer.Core", "Chat", "SayableConversation.cs"));
        foreach ((string name, _, _) in Adaptations)
            Assert.Contains($"\"{name}\"", source, StringComparison.Ordinal);
        Assert.Equal(Adaptations.Length, System.Text.RegularExpressions.Regex.Matches(source, "\"[a-z]+(-[a-z]+)+\"").Select(match => match.Value).Distinct().Count());
    }

    private static string Cell(ChatPromptRenderer renderer, ChatTemplateFeatures features, ChatMessage[] messages)
    {
        List<string> done = [];
        renderer.Render(new ChatConversation { Messages = messages, Adaptations = done });
        List<string> cells = done.ConvertAll(name => Adaptations.Single(adaptation => adaptation.Name == name).Cell);
        // Where a template knows no results at all they are always said so, and the header is silent.
        if (cells.Count == 0 && messages[0].Role == ChatRole.Tool && !features.TakesToolRole)
            cells.Add("to the user");
        return string.Join(", ", cells);
    }
}
