using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Spec;

/// <summary>Answers and stream chunks against OpenAI's own schemas, with every optional part that they can have.</summary>
public sealed class SpecConformanceTests
{
    private const string Think = "<think>\nHm.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    private const string Tools = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]";

    private static Task<TestHost> StartAsync(string text) => TestHost.StartAsync(
        new ScriptedEngine
        {
            Script = reply =>
            {
                foreach (char c in text)
                    reply.Token(c.ToString(), reply.Request.Sampling.TopLogprobs is null ? null : new TokenLogprobs(c, -0.5f, [new(c, -0.5f)]));
                reply.Finish();
                return Task.CompletedTask;
            },
        },
        replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));

    [SkippableTheory]
    [InlineData("")]
    [InlineData("," + Tools)]
    [InlineData(",\"logprobs\":true,\"top_logprobs\":1,\"n\":2")]
    [InlineData(",\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"x_cache_report\":true," + Tools)]
    public async Task A_chat_completion_and_each_of_its_chunks_is_one_of_OpenAIs(string fields)
    {
        OpenAISpec.Require();
        await using TestHost host = await StartAsync(Think);
        string body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" + fields;
        OpenAISpec.Check("CreateChatCompletionResponse", await host.PostJsonAsync("/v1/chat/completions", body + "}"));
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", body + ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());
        Assert.NotEmpty(chunks);
        Assert.All(chunks, chunk => OpenAISpec.Check("CreateChatCompletionStreamResponse", chunk));
    }

    [SkippableTheory]
    [InlineData("")]
    [InlineData(",\"logprobs\":2")]
    [InlineData(",\"n\":2,\"best_of\":3,\"x_cache_report\":true")]
    public async Task A_text_completion_and_each_of_its_chunks_is_one_of_OpenAIs(string fields)
    {
        OpenAISpec.Require();
        await using TestHost host = await StartAsync("Well.");
        string body = "{\"model\":\"scripted\",\"prompt\":\"Hi\"" + fields;
        OpenAISpec.CheckAnswer(await host.PostJsonAsync("/v1/completions", body + "}"));
        if (fields.Contains("best_of", StringComparison.Ordinal))
            return;
        using HttpResponseMessage answer = await host.PostAsync("/v1/completions", body + ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());
        Assert.NotEmpty(chunks);
        Assert.All(chunks, OpenAISpec.CheckAnswer);
    }

    [SkippableFact]
    public async Task The_models_and_each_error_are_as_OpenAI_describes_them()
    {
        OpenAISpec.Require();
        await using TestHost host = await StartAsync("");
        OpenAISpec.Check("ListModelsResponse", JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement);
        OpenAISpec.Check("Model", JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/v1/models/scripted", UriKind.Relative))).RootElement);
        using HttpResponseMessage missing = await host.Client.GetAsync(new Uri("/v1/models/none", UriKind.Relative));
        OpenAISpec.Check("ErrorResponse", JsonDocument.Parse(await missing.Content.ReadAsStringAsync()).RootElement);
    }
}
