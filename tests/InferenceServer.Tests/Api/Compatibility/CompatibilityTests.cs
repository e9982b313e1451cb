using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;
using InferenceServer.Models;
using InferenceServer.Tests.Docs;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Compatibility;

/// <summary>Requests in the shapes of the clients that docs/compatibility.md names, against the real host: what the page says of each is what happens.</summary>
public sealed partial class CompatibilityTests(TinyServer tiny, MiddleServer middle) : IClassFixture<TinyServer>, IClassFixture<MiddleServer>
{
    // Roles take turns, and a system message stands first.
    private const string StrictTemplate = """
        {%- for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('system not first') }}{% endif %}
        {%- if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}
        {%- if m.role != 'system' and (m.role == 'user') != ((loop.index0 - (1 if messages[0].role == 'system' else 0)) % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}
        {{- '[' ~ m.role ~ ']\n' ~ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]
        {% endif %}
        """;

    public static IEnumerable<object[]> All => CompatibilityPage.Clients.SelectMany(client => client.Transcripts.Select((_, i) => (object[])[client.Name, i]));

    [Theory]
    [MemberData(nameof(All))]
    public async Task A_request_in_a_clients_shape_gets_what_the_page_says(string client, int number)
    {
        Transcript sent = CompatibilityPage.Clients.Single(one => one.Name == client).Transcripts[number];
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync(sent.Reply) };
        ChatPromptRenderer renderer = new(ChatTemplate.Parse(sent.BeforeStrictTemplate ? StrictTemplate : BuiltinTemplates.ChatMLSource), "", "", TimeProvider.System, ["<|im_start|>", "<|im_end|>", "<s>"]);
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(TestHost.Served(engine) with { Chat = renderer.Render, Replies = new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens) }, store: kept.Store);
        using HttpRequestMessage request = new(sent.Body.Length == 0 ? HttpMethod.Get : HttpMethod.Post, sent.Path);
        if (sent.Body.Length > 0)
            request.Content = new StringContent(sent.Body, null, "application/json");
        foreach ((string name, string value) in sent.Headers)
            request.Headers.Add(name, value);
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        string text = await answer.Content.ReadAsStringAsync();

        Assert.True(sent.Status == (int)answer.StatusCode, $"{(int)answer.StatusCode}: {text}");
        Assert.Equal(sent.Ignored, Header(answer, "x-ignored-params"));
        Assert.Equal(sent.Adapted, Header(answer, "x-conversation-adapted"));
        JsonElement json = Read(answer, text);
        foreach ((string path, string expected) in sent.Facts)
            Assert.True(IsLike(Find(json, path), expected), $"{path} is '{Find(json, path)}' and not '{expected}':\n{text}");
        string prompt = string.Concat(engine.Submitted.Select(generation => ScriptedVocabulary.Instance.Text(generation.Request.PromptTokens.ToArray())));
        Assert.All(sent.Prompt, said => Assert.Contains(said, prompt, StringComparison.Ordinal));
        Assert.All(sent.NotInPrompt, said => Assert.DoesNotContain(said, prompt, StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task The_page_is_what_is_replayed() => await GeneratedPage.CheckAsync("compatibility.md", CompatibilityPage.Write());

    [Fact]
    public async Task A_billing_line_that_changes_costs_Claude_Code_no_cached_prefix()
    {
        string Body(string hash) => $$"""
            {"model":"{{tiny.Model.Id}}","max_tokens":2,"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.0; cch={{hash}};"},{"type":"text","text":"{{string.Join(' ', Enumerable.Repeat("You are an agent for the command line.", 10))}}","cache_control":{"type":"ephemeral"} }],
            "messages":[{"role":"user","content":"Hi"}]}
            """;
        _ = await tiny.Host.PostJsonAsync("/v1/messages?beta=true", Body("aaaaa"));
        JsonElement usage = (await tiny.Host.PostJsonAsync("/v1/messages?beta=true", Body("bbbbb"))).GetProperty("usage");
        Assert.True(usage.GetProperty("cache_read_input_tokens").GetInt32() > 50, usage.ToString());
    }

    [Fact]
    public async Task The_next_turn_of_Codex_finds_the_turn_before_in_the_cache()
    {
        string Body(string rest) => $$"""
            {"model":"{{tiny.Model.Id}}","instructions":"{{string.Join(' ', Enumerable.Repeat("You are a coding agent.", 10))}}","store":false,"prompt_cache_key":"session","max_output_tokens":2,
            "input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"What is in this folder, and why?"}]}{{rest}}]}
            """;
        _ = await tiny.Host.PostJsonAsync("/v1/responses", Body(""));
        JsonElement usage = (await tiny.Host.PostJsonAsync("/v1/responses", Body(""",{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Nothing."}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"Thanks."}]}"""))).GetProperty("usage");
        Assert.True(usage.GetProperty("input_tokens_details").GetProperty("cached_tokens").GetInt32() > 50, usage.ToString());
    }

    [Fact]
    public async Task Continues_autocomplete_fills_in_the_middle_where_the_model_has_the_tokens_for_that()
    {
        JsonElement answer = await middle.Host.PostJsonAsync("/v1/completions", $$"""{"model":"{{middle.Model.Id}}","prompt":"def add(a, b):\n    return ","suffix":"\n\nprint(add(1, 2))","max_tokens":4,"temperature":0.01}""");
        Assert.Equal("text_completion", answer.GetProperty("object").GetString());
    }

    private static string? Header(HttpResponseMessage answer, string name) => answer.Headers.TryGetValues(name, out IEnumerable<string>? values) ? string.Join(", ", values) : null;

    /// <summary>The answer, or the list of a stream's events.</summary>
    private static JsonElement Read(HttpResponseMessage answer, string text) => answer.Content.Headers.ContentType?.MediaType switch
    {
        "text/event-stream" => Events(text.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => line[6..])),
        "application/x-ndjson" => Events(text.Split('\n', StringSplitOptions.RemoveEmptyEntries)),
        _ => JsonDocument.Parse(text).RootElement,
    };

    private static JsonElement Events(IEnumerable<string> events) => JsonDocument.Parse($"[{string.Join(',', events)}]").RootElement;

    /// <summary>What is at a path; empty where nothing is.</summary>
    private static string Find(JsonElement at, string path)
    {
        if (path.StartsWith("+.", StringComparison.Ordinal))
            return string.Concat(at.EnumerateArray().Select(one => Find(one, path[2..])));
        foreach (Match step in StepPattern().Matches(path))
        {
            if (step.Value == "length")
                return at.GetArrayLength().ToString(CultureInfo.InvariantCulture);
            if (step.Groups[1].Success)
            {
                int index = int.Parse(step.Groups[1].Value, CultureInfo.InvariantCulture);
                if (at.ValueKind != JsonValueKind.Array || (index = index < 0 ? index + at.GetArrayLength() : index) >= at.GetArrayLength() || index < 0)
                    return "";
                at = at[index];
            }
            else if (at.ValueKind != JsonValueKind.Object || !at.TryGetProperty(step.Value, out at))
                return "";
        }

        return at.ValueKind == JsonValueKind.Null ? "" : at.ToString();
    }

    /// <summary>A star stands for any text of at least a character.</summary>
    private static bool IsLike(string found, string expected) => Regex.IsMatch(found, $"^{Regex.Escape(expected).Replace("\\*", ".+", StringComparison.Ordinal)}$", RegexOptions.Singleline) || found == expected;

    [GeneratedRegex(@"\[(-?\d+)\]|[^.\[\]]+")]
    private static partial Regex StepPattern();
}
