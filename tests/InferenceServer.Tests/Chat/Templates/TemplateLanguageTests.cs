using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Templates;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Tests.Chat.Templates;

/// <summary>
/// The language itself. <c>language.cases.json</c> holds templates over one context with what Python's Jinja2 3.1.6 renders under Hugging Face's settings:
/// hand-picked ones for each statement, filter, test and method, and a sample of random ones.
/// </summary>
public class TemplateLanguageTests
{
    private static readonly FakeTimeProvider Clock = new(new DateTimeOffset(2026, 11, 22, 10, 30, 0, TimeSpan.Zero));

    [Fact]
    public void Every_language_case_renders_or_fails_as_in_Python()
    {
        string file = Path.Combine(SharedFolder.RepositoryRoot, "tests", "InferenceServer.Tests", "Chat", "Templates", "language.cases.json");
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
        TemplateDict context = TemplateDict.FromJson(document.RootElement.GetProperty("context"));
        StringBuilder faults = new();
        foreach (JsonElement each in document.RootElement.GetProperty("cases").EnumerateArray())
        {
            string source = each.GetProperty("template").GetString()!;
            string? expected = each.TryGetProperty("expected", out JsonElement text) ? text.GetString() : null;
            string? actual = null;
            string cause = "";
            try
            {
                actual = ChatTemplate.Parse(source).Render(context, Clock);
            }
            catch (TemplateException e)
            {
                cause = e.Message;
            }
            if (expected != actual)
                faults.AppendLine($"{source}\nexpected {expected ?? "an error"}\nactual   {actual ?? cause}");
        }
        Assert.True(faults.Length == 0, faults.ToString());
    }

    [Theory]
    [InlineData("a\nb{{ 1 +\n }}", 3, 2)]
    [InlineData("{% if true %}\n  {% unknown %}", 2, 6)]
    [InlineData("{{ 'x", 1, 4)]
    [InlineData("x\n\n{% for i in x %}", 3, 17)]
    public void A_syntax_error_names_its_line_and_column(string source, int line, int column)
    {
        TemplateException e = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source));
        Assert.Equal((line, column), (e.Line, e.Column));
    }

    [Fact]
    public void An_error_while_rendering_names_the_innermost_statement_and_the_cause()
    {
        ChatTemplate template = ChatTemplate.Parse("{% macro m(x) %}\n {{ x.y.z }}\n{% endmacro %}\n{% if true %}\n{{ m({}) }}\n{% endif %}");
        TemplateException e = Assert.Throws<TemplateException>(() => template.Render(new TemplateDict(), Clock));
        Assert.Equal((2, 2), (e.Line, e.Column));
        Assert.Equal("'dict object' has no attribute 'y'", e.Cause);
    }

    [Fact]
    public void Raise_exception_is_told_apart_from_a_fault_of_the_template()
    {
        ChatTemplate template = ChatTemplate.Parse("{{ raise_exception('roles must ' ~ 'alternate') }}");
        TemplateRaisedException e = Assert.Throws<TemplateRaisedException>(() => template.Render(new TemplateDict(), Clock));
        Assert.Equal("roles must alternate", e.RaisedMessage);
    }

    [Theory]
    [InlineData("{% include 'other' %}", "include")]
    [InlineData("{% import 'other' as o %}", "import")]
    [InlineData("{% extends 'base' %}", "extends")]
    public void Other_files_are_refused_by_name(string source, string statement)
    {
        TemplateException e = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source));
        Assert.Contains($"'{statement}' is not supported", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{% set _ = messages.append(1) %}")]
    [InlineData("{% set _ = messages[0].update({'role': 'x'}) %}")]
    [InlineData("{% set _ = messages[0].pop('role') %}")]
    public void A_template_cannot_change_the_input_that_others_may_share(string source)
    {
        using JsonDocument document = JsonDocument.Parse("""{"messages": [{"role": "user"}]}""");
        TemplateDict context = TemplateDict.FromJson(document.RootElement);
        TemplateException e = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source).Render(context, Clock));
        Assert.Contains("is unsafe", e.Message, StringComparison.Ordinal);
        Assert.Equal("user", ChatTemplate.Parse("{{ messages[0].role }}").Render(context, Clock));
    }

    [Fact]
    public void A_template_can_change_what_it_made_itself()
    {
        const string Source = "{% set l = [3] %}{% set _ = l.append(1) %}{% set _ = l.insert(0, 2) %}{% set _ = l.sort() %}{% set _ = l.pop() %}{{ l }}"
            + "{% set d = {'a': 1} %}{% set _ = d.update(b=2) %}{% set _ = d.setdefault('c', 3) %}{{ d.pop('a') }}{{ d }}";
        Assert.Equal("[1, 2]1{'b': 2, 'c': 3}", ChatTemplate.Parse(Source).Render(new TemplateDict(), Clock));
    }

    [Fact]
    public void The_variables_that_a_template_reads_are_known_without_rendering()
    {
        ChatTemplate template = ChatTemplate.Parse("{% set x = 1 %}{{ x }}{% for m in messages %}{{ m.tools }}{{ enable_thinking }}{{ range(2) }}{% endfor %}");
        Assert.Equal(["enable_thinking", "messages"], template.Variables);
        Assert.False(template.Reads("tools"));
    }

    [Fact]
    public void Numbers_from_json_keep_their_type_and_size()
    {
        using JsonDocument document = JsonDocument.Parse("""{"v": [1, 1.0, 1e2, -0.0, 123456789012345678901234567890, 0.1]}""");
        string text = ChatTemplate.Parse("{{ v }}").Render(TemplateDict.FromJson(document.RootElement), Clock);
        Assert.Equal("[1, 1.0, 100.0, -0.0, 123456789012345678901234567890, 0.1]", text);
    }
}
