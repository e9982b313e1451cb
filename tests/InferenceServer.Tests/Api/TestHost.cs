using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Store;
using InferenceServer.Tests.Spec;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Tests.Api;

/// <summary>The real host on a free port of 127.0.0.1, in this process.</summary>
internal sealed class TestHost : IAsyncDisposable
{
    public const string ModelId = "scripted";

    // Whether the page was built is no business of a test of something else.
    private static readonly string NoPage = Path.Combine(AppContext.BaseDirectory, "no-page");

    // Nothing in these tests takes seconds; what hangs must fail and not stall the run.
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(30);

    private TestHost(WebApplication app)
    {
        App = app;
        // A client that goes away goes at once, and does not read on for two seconds.
        Client = new HttpClient(new SocketsHttpHandler { ResponseDrainTimeout = TimeSpan.Zero }) { BaseAddress = new Uri(app.Urls.First()), Timeout = CallLimit };
    }

    public WebApplication App { get; }

    public HttpClient Client { get; }

    public static DateTimeOffset Created { get; } = DateTimeOffset.FromUnixTimeSeconds(1_790_000_000);

    /// <summary>What a scripted engine is served as.</summary>
    public static ServedModel Served(ScriptedEngine engine) => new()
    {
        Id = ModelId,
        Created = Created,
        Fingerprint = "fp_test",
        Vocabulary = ScriptedVocabulary.Instance,
        Engine = engine,
        ContextLength = engine.ContextLength,
        Chat = ChatMl,
        Constraints = new ServedConstraints(ScriptedVocabulary.Instance),
    };

    public static Task<TestHost> StartAsync(ScriptedEngine engine, TimeProvider? clock = null, long maxBodyBytes = 16 << 20, bool warmUp = false, ServedReplies? replies = null,
        AccessOptions? access = null, LogLevel logLevel = LogLevel.None, bool strict = false, ServerStore? store = null, ModerationGate? moderation = null, IReadOnlyList<ServedEmbedder>? embedders = null, TimeSpan rehearsal = default, string? pageDirectory = null, Func<IReadOnlyList<LlamaDevice>>? devices = null, ModelLibrary? library = null, bool allowPull = false, IReadOnlyDictionary<string, McpServerEntry>? mcp = null, HostedLimits? mcpLimits = null) =>
        StartAsync(Served(engine) with { Replies = replies ?? ServedReplies.Plain }, clock, maxBodyBytes, warmUp, access, logLevel, strict, store, moderation, embedders, rehearsal, pageDirectory, devices, library, allowPull, mcp: mcp, mcpLimits: mcpLimits);

    public static async Task<TestHost> StartAsync(ServedModel model, TimeProvider? clock = null, long maxBodyBytes = 16 << 20, bool warmUp = false,
        AccessOptions? access = null, LogLevel logLevel = LogLevel.None, bool strict = false, ServerStore? store = null, ModerationGate? moderation = null, IReadOnlyList<ServedEmbedder>? embedders = null, TimeSpan rehearsal = default, string? pageDirectory = null, Func<IReadOnlyList<LlamaDevice>>? devices = null, ModelLibrary? library = null, bool allowPull = false, ModelHost? onDemand = null, LiveConfiguration? configuration = null, IReadOnlyDictionary<string, McpServerEntry>? mcp = null, HostedLimits? mcpLimits = null)
    {
        WebApplication app = ServerHost.Build(new WebHostOptions
        {
            Host = "127.0.0.1",
            Port = 0,
            Identity = new ServerIdentity("scripted"),
            Clock = clock ?? TimeProvider.System,
            WarmUp = warmUp,
            Rehearsal = rehearsal,
            MaxBodyBytes = maxBodyBytes,
            DrainTimeout = TimeSpan.FromSeconds(5),
            LogLevel = logLevel,
            Strict = strict,
            Moderation = moderation ?? ModerationGate.Off,
            Access = access ?? new AccessOptions(),
            Store = store ?? ServerStore.Off,
            PageDirectory = pageDirectory ?? NoPage,
            Devices = devices ?? (() => []),
            Library = library,
            AllowPull = allowPull,
            Mcp = mcp ?? new Dictionary<string, McpServerEntry>(),
            McpLimits = mcpLimits ?? HostedLimits.Default,
            Configuration = configuration,
        }, new ModelCatalogue([model], embedders) { OnDemand = onDemand, NameOf = name => configuration?.Current.NameOf(name) ?? name });
        await app.StartAsync();
        return new TestHost(app);
    }

    public static string ChatMl(ChatConversation conversation) =>
        string.Concat(conversation.Messages.Select(message => $"<|im_start|>{message.Role.Name()}\n{message.Text}<|im_end|>\n"))
        + (conversation.AddGenerationPrompt ? "<|im_start|>assistant\n" : "");

    public T Service<T>()
        where T : notnull => App.Services.GetRequiredService<T>();

    public Task<HttpResponseMessage> PostAsync(string path, string body, CancellationToken cancellation = default) =>
        PostAsync(path, Encoding.UTF8.GetBytes(body), cancellation);

    public async Task<HttpResponseMessage> PostAsync(string path, byte[] body, CancellationToken cancellation = default)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, path) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    public async Task<JsonElement> PostJsonAsync(string path, string body)
    {
        using HttpResponseMessage answer = await PostAsync(path, body);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        JsonElement json = JsonDocument.Parse(text).RootElement;
        OpenAISpec.CheckAnswer(json);
        return json;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
    }
}
