using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;
using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Chat.Templates;

/// <summary>A template comes with a model and is not trusted: whatever it holds, it ends with text or with an error, soon and in bounded memory.</summary>
public class TemplateLimitTests
{
    private static readonly ChatTemplateLimits Small = new()
    {
        MaxSteps = 300_000,
        MaxOutputLength = 1 << 20,
        MaxValueLength = 1 << 20,
        MaxAllocation = 1 << 24,
    };

    private readonly ITestOutputHelper _output;

    public TemplateLimitTests(ITestOutputHelper output)
    {
        _output = output;
    }

    [Theory]
    [InlineData("{{ 'a' * 10 ** 9 }}", "over the limit")]
    [InlineData("{{ [1] * 10 ** 9 }}", "over the limit")]
    [InlineData("{{ 9 ** (9 ** 9) }}", "over the limit")]
    [InlineData("{{ range(10 ** 12) | list }}", "range too big")]
    [InlineData("{{ 'a'.ljust(10 ** 9) }}", "over the limit")]
    [InlineData("{{ '%999999999d' % 1 }}", "over the limit")]
    [InlineData("{{ '{:999999999}'.format(1) }}", "over the limit")]
    [InlineData("{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}", "over the limit")]
    [InlineData("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps")]
    [InlineData("{% for a in range(99999) %}{{ 'a' * 100 }}{% endfor %}", "over the limit", "longer than the limit", "steps")]
    [InlineData("{% set n = namespace(s='aaaa') %}{% for a in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "limit")]
    [InlineData("{% set n = namespace(l=[]) %}{% for a in range(9999) %}{% set n.l = n.l + ['a' * 100000] %}{% endfor %}", "built more than")]
    [InlineData("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deep")]
    [InlineData("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "deep")]
    [InlineData("{% set n = namespace(g=[1]) %}{% for a in range(99999) %}{% set n.g = n.g|map('string') %}{% endfor %}{{ n.g|list }}", "deep")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "deep", "steps", "longer than")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}", "deep", "steps", "longer than")]
    [InlineData("{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}", "steps", "over the limit")]
    [InlineData("{% set n = namespace(a=[], b=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}", "too large")]
    [InlineData("{% set n = namespace(a=()) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ {n.a: 1} }}", "too large")]
    [InlineData("{% set n = namespace(a=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | string | length }}", "steps", "longer than")]
    public void A_greedy_template_ends_with_an_error(string source, params string[] causes)
    {
        TemplateException e = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source, Small).Render(new TemplateDict(), TimeProvider.System));
        Assert.True(Array.Exists(causes, cause => e.Message.Contains(cause, StringComparison.Ordinal)), e.Message);
    }

    [Theory]
    [InlineData("(", ")", "1")]
    [InlineData("[", "]", "1")]
    [InlineData("-", "", "1")]
    [InlineData("not ", "", "1")]
    [InlineData("1 if 1 else ", "", "1")]
    [InlineData("{1: ", "}", "1")]
    [InlineData("f(", ")", "1")]
    [InlineData("", ".a", "x")]
    [InlineData("", "|e", "x")]
    [InlineData("", " - 1", "1")]
    [InlineData("", " * 1", "1")]
    [InlineData("", " and 1", "1")]
    [InlineData("", "[0]", "x")]
    public void A_deeply_nested_expression_is_refused_and_never_overflows_the_stack(string open, string close, string inner)
    {
        string source = "{{ " + string.Concat(Enumerable.Repeat(open, 20_000)) + inner + string.Concat(Enumerable.Repeat(close, 20_000)) + " }}";
        TemplateException e = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source));
        Assert.Contains("nested more than", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{% if x %}", "{% endif %}")]
    [InlineData("{% for i in x %}", "{% endfor %}")]
    [InlineData("{% macro m() %}", "{% endmacro %}")]
    public void Deeply_nested_statements_are_refused_and_never_overflow_the_stack(string open, string close)
    {
        string source = string.Concat(Enumerable.Repeat(open, 20_000)) + string.Concat(Enumerable.Repeat(close, 20_000));
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source));
    }

    [Fact]
    public void The_deepest_allowed_nesting_in_the_deepest_allowed_calls_fits_a_small_stack()
    {
        string deep = string.Concat(Enumerable.Repeat("[", 140)) + "m(x - 1)" + string.Concat(Enumerable.Repeat("]", 140));
        string source = "{% macro m(x) %}{% if x > 0 %}{{ " + deep + " }}{% endif %}{% endmacro %}{{ m(190) }}";
        Exception? thrown = null;
        Thread thread = new(() => thrown = Record.Exception(() => ChatTemplate.Parse(source).Render(new TemplateDict(), TimeProvider.System)), 512 * 1024);
        thread.Start();
        thread.Join();
        Assert.True(thrown is null or TemplateException, thrown?.ToString());
    }

    [Fact]
    public void A_long_source_is_refused_before_it_is_parsed()
    {
        string source = new('x', ChatTemplateLimits.Default.MaxSourceLength + 1);
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse(source));
    }

    [Fact]
    public void Mutated_templates_only_ever_fail_with_a_template_error()
    {
        const int Seed = 20261122;
        _output.WriteLine($"seed {Seed}");
        Random random = new(Seed);
        string[] sources = Sources();
        TemplateDict context = Context();
        for (int i = 0; i < 3000; i++)
        {
            string source = Mutate(random, sources);
            try
            {
                ChatTemplate.Parse(source, Small).Render(context, TimeProvider.System);
            }
            catch (TemplateException)
            {
                // An error of the template is a fine end; anything else fails the test.
            }
            catch (Exception e)
            {
                Assert.Fail($"mutation {i} of seed {Seed}: {e}\n{source}");
            }
        }
    }

    private static string[] Sources()
    {
        string file = Path.Combine(SharedFolder.RepositoryRoot, "tests", "InferenceServer.Tests", "Chat", "Templates", "language.cases.json");
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
        return [BuiltinTemplates.ChatMLSource, .. document.RootElement.GetProperty("cases").EnumerateArray().Select(each => each.GetProperty("template").GetString()!)];
    }

    private static TemplateDict Context()
    {
        using JsonDocument document = JsonDocument.Parse("""
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}]},
              {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, null, true]}}}]},
              {"role": "tool", "content": "x"}], "tools": [{"function": {"name": "f"}}], "n": 5, "l": [3, 1, 2], "d": {"a": 1}, "s": "Hello 🚀",
              "add_generation_prompt": true}
            """);
        return TemplateDict.FromJson(document.RootElement);
    }

    private static string Mutate(Random random, string[] sources)
    {
        string[] fragments = ["{{", "}}", "{%", "%}", "{#", "#}", "(", ")", "[", "]", "|", "~", "'", "\\", "\n", "-", "+", "%", "**", "//", ":", ",", ".",
            " if ", " else ", " for x in l ", " is ", " not ", " in ", "loop", "caller()", "namespace()", "9999999999", "1e308", "{% set x = ", "|map('",
            "|sort", "|tojson(indent=", "\ud83d", "\0", "[::-1]", "{% raw %}", "{%- endfor %}", "|batch(0)", "|slice(0)", "*l", "**d", "%s", "{:>{}}"];
        string source = sources[random.Next(sources.Length)];
        for (int edits = random.Next(1, 5); edits > 0; edits--)
        {
            int at = random.Next(source.Length + 1);
            string other = sources[random.Next(sources.Length)];
            int from = random.Next(other.Length + 1);
            source = random.Next(4) switch
            {
                0 => source.Insert(at, fragments[random.Next(fragments.Length)]),
                1 => source.Remove(at, random.Next(Math.Min(12, source.Length - at) + 1)),
                2 => source.Insert(at, other.Substring(from, random.Next(Math.Min(30, other.Length - from) + 1))),
                _ => source[..at] + source[random.Next(source.Length + 1)..],
            };
        }
        return source;
    }
}
