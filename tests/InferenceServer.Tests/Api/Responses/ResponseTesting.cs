using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Tests.Spec;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>The host with a store, an engine that says what the test wrote, and everything that it sends checked against OpenAI's schemas.</summary>
internal sealed class ResponseHost : IAsyncDisposable
{
    public const string Path = "/v1/responses";

    private ResponseHost(TestHost host, TempStore store, ScriptedEngine engine) => (Host, Store, Engine) = (host, store, engine);

    public TestHost Host { get; }

    public TempStore Store { get; }

    public ScriptedEngine Engine { get; }

    public static Task<ResponseHost> StartAsync(params string[] tokens) => StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync(tokens) });

    public static async Task<ResponseHost> StartAsync(ScriptedEngine engine)
    {
        TempStore store = new();
        return new(await TestHost.StartAsync(engine, store: store.Store, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens)), store, engine);
    }

    /// <summary>The prompt of the latest request, as text.</summary>
    public string LastPrompt => string.Concat(Engine.Submitted.Last().Request.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text));

    /// <param name="fields">The body's members besides the model.</param>
    public Task<JsonElement> CreateAsync(string fields) => CallAsync(HttpMethod.Post, Path, "Response", $"{{\"model\":\"scripted\",{fields}}}");

    public async Task<List<JsonElement>> StreamAsync(string fields)
    {
        using HttpResponseMessage answer = await Host.PostAsync(Path, $"{{\"model\":\"scripted\",\"stream\":true,{fields}}}");
        string stream = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, stream);
        return Events(stream);
    }

    public Task<JsonElement> GetAsync(string path, string schema) => CallAsync(HttpMethod.Get, path, schema);

    /// <summary>A call that succeeds; its answer is checked against a schema.</summary>
    public async Task<JsonElement> CallAsync(HttpMethod method, string path, string? schema, string? body = null)
    {
        (int status, JsonElement answer) = await SendAsync(method, path, body);
        Assert.True(status == 200, answer.GetRawText());
        if (schema is not null)
            OpenAISpec.Check(schema, answer);
        return answer;
    }

    /// <summary>A call that fails: its status, and the error's param and code.</summary>
    public async Task<(int Status, string? Param, string? Code)> FailAsync(HttpMethod method, string path, string? body = null)
    {
        (int status, JsonElement answer) = await SendAsync(method, path, body);
        Assert.True(status >= 400, answer.GetRawText());
        OpenAISpec.Check("ErrorResponse", answer);
        JsonElement error = answer.GetProperty("error");
        return (status, error.GetProperty("param").GetString(), error.GetProperty("code").GetString());
    }

    public Task<(int Status, string? Param, string? Code)> FailAsync(string fields) => FailAsync(HttpMethod.Post, Path, $"{{\"model\":\"scripted\",{fields}}}");

    /// <summary>Takes a stream apart, strictly: each event's name is its type, and the numbers go up by one.</summary>
    public static List<JsonElement> Events(string stream, int first = 0)
    {
        List<JsonElement> events = [];
        foreach (string written in stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
        {
            string[] lines = written.Split('\n');
            Assert.Equal(2, lines.Length);
            JsonElement data = SseReader.Parse(lines[1]);
            Assert.Equal("event: " + data.GetProperty("type").GetString(), lines[0]);
            Assert.Equal(first + events.Count, data.GetProperty("sequence_number").GetInt32());
            OpenAISpec.Check("ResponseStreamEvent", data);
            events.Add(data);
        }

        return events;
    }

    public static string[] Types(IEnumerable<JsonElement> events) => [.. events.Select(data => data.GetProperty("type").GetString()!)];

    /// <summary>Items as one line each: type and what is in them.</summary>
    public static string[] Items(JsonElement items) => [.. items.EnumerateArray().Select(item => item.GetProperty("type").GetString() switch
    {
        "function_call" => $"call {item.GetProperty("name")} {item.GetProperty("arguments")}",
        "function_call_output" => $"output {item.GetProperty("output")}",
        "compaction" => "compaction",
        string type => $"{(type == "message" ? item.GetProperty("role").GetString() : type)}: {string.Concat(item.GetProperty("content").EnumerateArray().Select(part => part.GetProperty("text").GetString()))}",
        null => throw new InvalidOperationException("an item has no type"),
    })];

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        await Store.DisposeAsync();
    }

    private async Task<(int Status, JsonElement Body)> SendAsync(HttpMethod method, string path, string? body)
    {
        using HttpRequestMessage request = new(method, new Uri(path, UriKind.Relative));
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await Host.Client.SendAsync(request);
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement);
    }
}

/// <summary>Answers at the test's word.</summary>
internal sealed class Held
{
    private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Held() => Engine = new ScriptedEngine
    {
        Script = async reply =>
        {
            reply.Token("one ");
            await Eventually.HoldsAsync(() => _release.Task.IsCompleted || reply.Cancelled);
            if (reply.Cancelled)
            {
                reply.Finish(FinishReason.Cancelled);
                return;
            }

            reply.Token("two");
            reply.Finish();
        },
    };

    public ScriptedEngine Engine { get; }

    public void Release() => _release.SetResult();
}
