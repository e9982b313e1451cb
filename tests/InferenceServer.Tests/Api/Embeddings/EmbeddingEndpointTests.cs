using System.ClientModel;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using InferenceServer.Tests.Spec;
using OpenAI;
using OpenAI.Embeddings;

namespace InferenceServer.Tests.Api.Embeddings;

/// <summary>POST /v1/embeddings on a tiny real model beside one that chats.</summary>
public sealed class EmbeddingEndpointTests(EmbeddingServer server) : IClassFixture<EmbeddingServer>
{
    private const string Route = "/v1/embeddings";

    private Task<JsonElement> EmbedAsync(object input, string fields = "") =>
        server.Host.PostJsonAsync(Route, $$"""{"model":"{{server.Model.Id}}","input":{{JsonSerializer.Serialize(input)}}{{fields}}}""");

    private static float[][] Vectors(JsonElement answer) =>
        [.. answer.GetProperty("data").EnumerateArray().Select(item => item.GetProperty("embedding").EnumerateArray().Select(value => value.GetSingle()).ToArray())];

    private static double Length(float[] vector) => Math.Sqrt(vector.Sum(value => (double)value * value));

    [Fact]
    public async Task Texts_become_vectors_of_length_one_in_their_order()
    {
        JsonElement answer = await EmbedAsync(new[] { "one", "another text", "one" });
        OpenAISpec.Check("CreateEmbeddingResponse", answer);
        float[][] vectors = Vectors(answer);
        Assert.Equal([0, 1, 2], answer.GetProperty("data").EnumerateArray().Select(item => item.GetProperty("index").GetInt32()));
        Assert.All(vectors, vector => Assert.Equal((server.Model.Dimensions, 1), (vector.Length, Math.Round(Length(vector), 5))));
        Assert.NotEqual(vectors[0], vectors[1]);
        Assert.All(vectors[0].Zip(vectors[2]), pair => Assert.Equal(pair.First, pair.Second, 2e-3));
        // A byte is a token.
        Assert.Equal((18, 18), (answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32(), answer.GetProperty("usage").GetProperty("total_tokens").GetInt32()));
    }

    [Fact]
    public async Task A_text_and_its_tokens_are_embedded_alike()
    {
        int[] tokens = server.Model.Vocabulary.Tokenize("alike", true, false);
        float[] text = Vectors(await EmbedAsync("alike"))[0];
        Assert.Equal(text, Vectors(await EmbedAsync(tokens))[0]);
        float[][] several = Vectors(await EmbedAsync(new[] { tokens, tokens }));
        Assert.Equal(2, several.Length);
    }

    [Fact]
    public async Task No_texts_are_no_vectors()
    {
        JsonElement answer = await EmbedAsync(Array.Empty<string>());
        Assert.Empty(Vectors(answer));
        Assert.Equal(0, answer.GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Fact]
    public async Task Base64_holds_the_same_floats()
    {
        float[] numbers = Vectors(await EmbedAsync("floats"))[0];
        JsonElement packed = await EmbedAsync("floats", ",\"encoding_format\":\"base64\"");
        byte[] bytes = packed.GetProperty("data")[0].GetProperty("embedding").GetBytesFromBase64();
        Assert.Equal(numbers, MemoryMarshal.Cast<byte, float>(bytes).ToArray());
    }

    [Fact]
    public async Task Fewer_dimensions_are_the_first_ones_at_length_one()
    {
        float[] all = Vectors(await EmbedAsync("short"))[0], few = Vectors(await EmbedAsync("short", ",\"dimensions\":5"))[0];
        double length = Length(all[..5]);
        Assert.Equal(5, few.Length);
        Assert.All(few.Zip(all), pair => Assert.Equal(pair.Second / length, pair.First, 1e-5));
    }

    [Fact]
    public async Task The_official_client_embeds()
    {
        OpenAIClient client = new(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Host.Client.BaseAddress!, "/v1") });
        OpenAIEmbeddingCollection answer = await client.GetEmbeddingClient(server.Model.Id).GenerateEmbeddingsAsync(["first", "second"], new EmbeddingGenerationOptions { Dimensions = 16 });
        Assert.Equal([16, 16], answer.Select(item => item.ToFloats().Length));
    }

    [Fact]
    public async Task Embedding_goes_on_beside_chats_and_is_counted()
    {
        Task<JsonElement> chat = server.Host.PostJsonAsync("/v1/chat/completions",
            $$"""{"model":"{{server.ChatId}}","messages":[{"role":"user","content":"Hi"}],"max_tokens":40,"ignore_eos":true}""");
        JsonElement[] answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => EmbedAsync($"text {i}")));
        Assert.Equal(20, answers.Select(answer => Vectors(answer)[0][0]).Distinct().Count());
        Assert.Equal(40, (await chat).GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        string metrics = await server.Host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains($"inference_embedding_inputs_total{{model=\"{server.Model.Id}\"}}", metrics, StringComparison.Ordinal);
        JsonElement models = JsonDocument.Parse(await server.Host.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement;
        Assert.Equal([server.ChatId, server.Model.Id], models.GetProperty("data").EnumerateArray().Select(model => model.GetProperty("id").GetString()));
    }

    [Theory]
    [InlineData("\"input\":\"a\"", 400, "model")]
    [InlineData("\"model\":\"none\",\"input\":\"a\"", 404, "model")]
    [InlineData("\"model\":\"CHAT\",\"input\":\"a\"", 400, "model")]
    [InlineData("\"model\":\"EMBED\"", 400, "input")]
    [InlineData("\"model\":\"EMBED\",\"input\":\"\"", 400, "input")]
    [InlineData("\"model\":\"EMBED\",\"input\":{}", 400, "input")]
    [InlineData("\"model\":\"EMBED\",\"input\":[\"a\",\"\"]", 400, "input[1]")]
    [InlineData("\"model\":\"EMBED\",\"input\":[\"a\",7]", 400, "input[1]")]
    [InlineData("\"model\":\"EMBED\",\"input\":[1,\"a\"]", 400, "input[1]")]
    [InlineData("\"model\":\"EMBED\",\"input\":[[1],[99999]]", 400, "input[1][0]")]
    [InlineData("\"model\":\"EMBED\",\"input\":[[1],[]]", 400, "input[1]")]
    [InlineData("\"model\":\"EMBED\",\"input\":[\"a\",\"LONG\"]", 400, "input[1]")]
    [InlineData("\"model\":\"EMBED\",\"input\":\"a\",\"dimensions\":65", 400, "dimensions")]
    [InlineData("\"model\":\"EMBED\",\"input\":\"a\",\"dimensions\":0", 400, "dimensions")]
    [InlineData("\"model\":\"EMBED\",\"input\":\"a\",\"encoding_format\":\"int8\"", 400, "encoding_format")]
    public async Task What_cannot_be_embedded_is_refused_by_name(string fields, int status, string param)
    {
        string body = $"{{{fields.Replace("CHAT", server.ChatId, StringComparison.Ordinal).Replace("EMBED", server.Model.Id, StringComparison.Ordinal).Replace("LONG", new string('x', 257), StringComparison.Ordinal)}}}";
        using HttpResponseMessage answer = await server.Host.PostAsync(Route, body);
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal((status, param), ((int)answer.StatusCode, error.GetProperty("param").GetString()));
        if (fields.Contains("CHAT", StringComparison.Ordinal))
            Assert.Contains("--embedding-model", error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_that_embeds_does_not_chat_and_one_that_does_not_rank_says_so()
    {
        using HttpResponseMessage chat = await server.Host.PostAsync("/v1/chat/completions", $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"Hi"}]}""");
        Assert.Equal(HttpStatusCode.BadRequest, chat.StatusCode);
        using HttpResponseMessage rank = await server.Host.PostAsync("/v1/rerank", $$"""{"model":"{{server.Model.Id}}","query":"a","documents":["b"]}""");
        Assert.Equal(HttpStatusCode.BadRequest, rank.StatusCode);
        Assert.Contains("does not rank", await rank.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }
}

/// <summary>The border between HTTP and an embedding engine that does what the test wrote.</summary>
public sealed class ScriptedEmbedderTests
{
    private static Task<TestHost> StartAsync(Func<IReadOnlyList<int[]>, CancellationToken, Task<float[][]>> embed) =>
        TestHost.StartAsync(new ScriptedEngine(), embedders:
        [
            new ServedEmbedder
            {
                Id = "embedder",
                Created = TestHost.Created,
                Vocabulary = ScriptedVocabulary.Instance,
                Dimensions = 2,
                MaxInputTokens = 10,
                Engine = new ScriptedEmbedding(embed),
            },
        ]);

    private static async Task<(int Status, string? Code)> FailAsync(TestHost host, string? timeout = null)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/embeddings")
        {
            Content = new StringContent("""{"model":"embedder","input":"text"}""", System.Text.Encoding.UTF8, "application/json"),
        };
        if (timeout is not null)
            request.Headers.Add("X-Request-Timeout-Ms", timeout);
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        Assert.Equal(answer.StatusCode == HttpStatusCode.TooManyRequests, answer.Headers.RetryAfter is not null);
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("code").GetString());
    }

    [Fact]
    public async Task Failures_have_their_own_status()
    {
        Func<Exception> fail = () => new EngineQueueFullException(3, TimeSpan.FromSeconds(2));
        await using TestHost host = await StartAsync((_, _) => throw fail());
        Assert.Equal((429, "queue_full"), await FailAsync(host));
        fail = () => new EngineUnavailableException("stopping");
        Assert.Equal((503, "unavailable"), await FailAsync(host));
        fail = () => new EmbeddingFailedException("broken");
        Assert.Equal((500, "embedding_failed"), await FailAsync(host));
    }

    [Fact]
    public async Task A_deadline_calls_the_work_off()
    {
        EndlessWork work = new();
        await using TestHost host = await StartAsync(work.RunAsync);
        // On a busy machine the first deadlines may pass before the work begins.
        for (int deadline = 50; !work.Started.IsCompleted; deadline *= 2)
            Assert.Equal((504, "deadline_exceeded"), await FailAsync(host, $"{deadline}"));
        await work.CalledOff.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task A_client_that_goes_away_calls_the_work_off()
    {
        EndlessWork work = new();
        await using TestHost host = await StartAsync(work.RunAsync);
        using CancellationTokenSource client = new();
        Task<HttpResponseMessage> request = host.PostAsync("/v1/embeddings", """{"model":"embedder","input":"text"}""", client.Token);
        await work.Started.WaitAsync(TimeSpan.FromSeconds(20));
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request);
        await work.CalledOff.WaitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>Embeds until it is called off.</summary>
    private sealed class EndlessWork
    {
        private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _calledOff = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Started => _started.Task;

        public Task CalledOff => _calledOff.Task;

        public async Task<float[][]> RunAsync(IReadOnlyList<int[]> inputs, CancellationToken cancellation)
        {
            _started.TrySetResult();
            try
            {
                await Task.Delay(Timeout.Infinite, cancellation);
            }
            finally
            {
                _calledOff.TrySetResult();
            }
            return [];
        }
    }
}
