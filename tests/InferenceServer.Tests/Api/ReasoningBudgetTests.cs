using System.Text.Json;
using InferenceServer.Tests.Engine.Constraints;

namespace InferenceServer.Tests.Api;

/// <summary>A random model never stops thinking: the budget must do it, and the reply must go on.</summary>
[Collection(nameof(RunsAlone))]
public sealed class ReasoningBudgetTests(ReasoningBudgetTests.Server server) : IClassFixture<ReasoningBudgetTests.Server>
{
    private const string Schema = """{"type":"object","properties":{"age":{"type":"integer","minimum":0,"maximum":150}},"required":["age"],"additionalProperties":false}""";

    /// <summary>The prompt opens the thinking, unless it is switched off.</summary>
    public sealed class Server : TinyServer
    {
        protected override string ChatTemplate => """
            {%- for m in messages %}{{ '[' ~ m.role ~ ']' }}{% if m.role == 'assistant' %}{{ '<think>\n' ~ (m.reasoning_content or '') ~ '\n</think>\n\n' }}{% endif %}{{ (m.content or '') ~ '<|end|>' }}
            {%- endfor %}{% if add_generation_prompt %}{{ '[assistant]<think>\n' }}{% if enable_thinking is defined and not enable_thinking %}{{ '\n</think>\n\n' }}{% endif %}{% endif %}
            """;
    }

    private Task<JsonElement> AskAsync(string fields) =>
        server.Host.PostJsonAsync("/v1/chat/completions", $"{{\"model\":\"{server.Model.Id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Answer\"}}],\"seed\":5,{fields}}}");

    private static (string Content, string? Reasoning, string Finish, int ReasoningTokens) Parts(JsonElement reply)
    {
        JsonElement choice = reply.GetProperty("choices")[0], message = choice.GetProperty("message");
        return (message.GetProperty("content").GetString() ?? "", message.TryGetProperty("reasoning_content", out JsonElement thought) ? thought.GetString() : null,
            choice.GetProperty("finish_reason").GetString()!, reply.GetProperty("usage").GetProperty("completion_tokens_details").GetProperty("reasoning_tokens").GetInt32());
    }

    [Fact]
    public async Task Without_a_budget_it_thinks_to_the_end()
    {
        var (content, reasoning, finish, tokens) = Parts(await AskAsync("\"ignore_eos\":true,\"max_tokens\":60"));
        Assert.Equal(("", "length", 60), (content, finish, tokens));
        Assert.NotNull(reasoning);
    }

    [Fact]
    public async Task The_budget_closes_the_thinking_and_the_reply_goes_on()
    {
        var (content, reasoning, finish, tokens) = Parts(await AskAsync("\"ignore_eos\":true,\"max_tokens\":60,\"reasoning_budget\":20"));
        Assert.Equal("length", finish);
        Assert.NotEqual("", content);
        Assert.DoesNotContain("think", content, StringComparison.Ordinal);
        Assert.InRange(reasoning!.Length, 1, 20);
        // A token a byte: the budget, a line break and the marker.
        Assert.InRange(tokens, 20, 20 + 1 + "</think>".Length);
    }

    [Fact]
    public async Task After_it_the_constraint_holds()
    {
        var (content, _, finish, tokens) = Parts(await AskAsync($"\"max_tokens\":300,\"reasoning_budget\":15,\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"x\",\"schema\":{Schema}}}}}"));
        Assert.Equal("stop", finish);
        Assert.True(SchemaValidator.IsValid(Schema, content), content);
        Assert.InRange(tokens, 15, 24);
    }

    [Theory]
    [InlineData("\"reasoning_budget\":0")]
    [InlineData("\"reasoning_effort\":\"none\"")]
    [InlineData("\"chat_template_kwargs\":{\"enable_thinking\":false}")]
    public async Task Thinking_can_be_left_out(string fields)
    {
        var (content, reasoning, _, tokens) = Parts(await AskAsync($"\"ignore_eos\":true,\"max_tokens\":30,{fields}"));
        Assert.Equal((null, 0), (reasoning, tokens));
        Assert.NotEqual("", content);
    }

    [Theory]
    [InlineData("\"reasoning_budget\":-2", "reasoning_budget")]
    [InlineData("\"reasoning_budget\":5,\"logprobs\":true", "reasoning_budget")]
    public async Task What_cannot_be_is_named(string fields, string param)
    {
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/chat/completions",
            $"{{\"model\":\"{server.Model.Id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Answer\"}}],{fields}}}");
        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Equal(param, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("param").GetString());
    }
}
