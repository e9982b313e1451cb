using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using System.Text.Json.Serialization;
using Anthropic;
using Anthropic.Exceptions;
using Microsoft.Extensions.AI;
using OpenAI;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>OpenAI's and Anthropic's own packages for .NET, both behind Microsoft.Extensions.AI; Anthropic's checks every answer against its own types.</summary>
public sealed class DotNetClientTests(TinyServer server) : IClassFixture<TinyServer>
{
    private enum Kind
    {
        A,
        B,
    }

    private sealed record Answer(bool Ok, [property: JsonConverter(typeof(JsonStringEnumConverter<Kind>))] Kind Kind);

    private static IChatClient Connect(string package, HttpClient host, string model) => package == "openai"
        ? new OpenAIClient(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(host.BaseAddress!, "/v1"), RetryPolicy = new ClientRetryPolicy(0) })
            .GetChatClient(model).AsIChatClient()
        : new AnthropicClient { BaseUrl = host.BaseAddress!.ToString().TrimEnd('/'), ApiKey = "none", MaxRetries = 0, ResponseValidation = true }.AsIChatClient(model, 1024);

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task A_stream_is_the_whole_reply_in_pieces_and_a_schema_holds(string package)
    {
        // Anthropic's package has no temperature, so the same text twice needs an engine that says it twice.
        await using (TestHost scripted = await WeatherEngine.StartAsync(WeatherEngine.Create()))
        {
            using IChatClient told = Connect(package, scripted.Client, TestHost.ModelId);
            ChatResponse whole = await told.GetResponseAsync("It is sunny in Rome?");
            ChatResponse streamed = await told.GetStreamingResponseAsync("It is sunny in Rome?").ToChatResponseAsync();
            Assert.Equal("It is sunny in Rome.", whole.Text);
            Assert.Equal((whole.Text, ChatFinishReason.Stop), (streamed.Text, streamed.FinishReason));
            Assert.Equal((3, whole.Usage!.InputTokenCount), (streamed.Usage!.OutputTokenCount, streamed.Usage.InputTokenCount));
        }

        using IChatClient client = Connect(package, server.Host.Client, server.Model.Id);
        ChatOptions options = new() { MaxOutputTokens = 24 };
        ChatResponse random = await client.GetResponseAsync("Say something.", options);
        Assert.InRange(random.Usage!.OutputTokenCount!.Value, 1, 24);

        options.MaxOutputTokens = 400;
        options.ResponseFormat = Microsoft.Extensions.AI.ChatResponseFormat.ForJsonSchema<Answer>();
        ChatResponse held = await client.GetResponseAsync("Say something.", options);
        Assert.NotNull(JsonSerializer.Deserialize<Answer>(held.Text, AIJsonUtilities.DefaultOptions));
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task A_tool_is_called_whole_and_streamed_and_its_result_told(string package)
    {
        await using TestHost scripted = await WeatherEngine.StartAsync(WeatherEngine.Create());
        using IChatClient client = Connect(package, scripted.Client, TestHost.ModelId);
        ChatOptions options = new() { Tools = [AIFunctionFactory.Create((string city) => $"sunny in {city}", "weather", "The weather of a city.")] };
        List<ChatMessage> messages = [new(ChatRole.User, "Weather in Rome?")];
        ChatResponse first = await client.GetResponseAsync(messages, options);
        FunctionCallContent call = Assert.Single(first.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>());
        Assert.Equal(("weather", "Rome", ChatFinishReason.ToolCalls), (call.Name, call.Arguments!["city"]?.ToString(), first.FinishReason));

        ChatResponse streamed = await client.GetStreamingResponseAsync(messages, options).ToChatResponseAsync();
        FunctionCallContent same = Assert.Single(streamed.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>());
        Assert.Equal(("weather", "Rome"), (same.Name, same.Arguments!["city"]?.ToString()));

        messages.AddRange(first.Messages);
        messages.Add(new ChatMessage(ChatRole.Tool, [new FunctionResultContent(call.CallId, "sunny in Rome")]));
        Assert.Equal("It is sunny in Rome.", (await client.GetResponseAsync(messages, options)).Text);
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task Mistakes_are_the_packages_own_exceptions_and_calling_off_ends_the_reply(string package)
    {
        ScriptedEngine engine = WeatherEngine.Create();
        await using TestHost scripted = await WeatherEngine.StartAsync(engine);
        using (IChatClient wrong = Connect(package, scripted.Client, "no-such-model"))
        {
            Exception error = await Assert.ThrowsAnyAsync<Exception>(() => wrong.GetResponseAsync("Hi"));
            Assert.Equal(404, error is ClientResultException openAI ? openAI.Status : error is AnthropicNotFoundException ? 404 : throw error);
            Assert.Contains("no-such-model", error.Message, StringComparison.Ordinal);
        }

        using IChatClient client = Connect(package, scripted.Client, TestHost.ModelId);
        using CancellationTokenSource enough = new();
        int pieces = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("forever", cancellationToken: enough.Token))
                if (++pieces == 6)
                    await enough.CancelAsync();
        });
        await WeatherEngine.CancelledAsync(engine);
    }
}
