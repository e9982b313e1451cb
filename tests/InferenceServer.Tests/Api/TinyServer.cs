using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Store;
using InferenceServer.Tests.Store;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Api;

/// <summary>The whole server on a tiny random model: llama.cpp, engine, template, HTTP. One for all tests of a class, since none changes it.</summary>
public class TinyServer : IAsyncLifetime
{
    protected virtual TinyArchitecture Architecture => TinyArchitecture.Llama;

    protected virtual bool FillsInMiddle => false;

    protected virtual bool HasTokenizer => true;

    protected virtual bool Deterministic => false;

    /// <summary>Options of the server besides those that all have.</summary>
    protected virtual IReadOnlyList<string> MoreArguments => [];

    protected virtual bool AllowPull => false;

    /// <summary>Names of control tokens besides ChatML's.</summary>
    protected virtual IReadOnlyList<string> ControlTokens => [];

    internal virtual AccessOptions Access => new();

    /// <summary>MCP servers whose tools may be used.</summary>
    internal virtual Task<IReadOnlyDictionary<string, McpServerEntry>> McpAsync() => Task.FromResult<IReadOnlyDictionary<string, McpServerEntry>>(new Dictionary<string, McpServerEntry>());

    /// <summary>A chat template instead of ChatML; null for that.</summary>
    protected virtual string? ChatTemplate => null;

    /// <summary>Where responses are kept; null for nowhere.</summary>
    internal virtual ServerStore? Store => null;

    private LoadedModel? _model;
    private TestHost? _host;

    internal TestHost Host => _host!;

    internal ServedModel Model => _model!.Served;

    public async Task InitializeAsync()
    {
        string[] template = [];
        if (ChatTemplate is { } source)
        {
            template = ["--chat-template", Path.Combine(AppContext.BaseDirectory, $"{GetType().FullName}.jinja")];
            await File.WriteAllTextAsync(template[1], source);
        }
        ServerOptions options = CommandLine.Read(
            ["--ctx-size", "16384", "--threads", "1", "--batch-size", "256", "--model", TinyModelFile(), .. template, .. Deterministic ? ["--deterministic"] : Array.Empty<string>(), .. MoreArguments],
            new Microsoft.Extensions.Configuration.ConfigurationBuilder().Build(), _ => null).Options!;
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        _model = ModelLoader.Load(options.Model, library, NullLoggerFactory.Instance, TimeProvider.System);
        // The warm-up is a chat, which such a model has not.
        _host = await TestHost.StartAsync(_model.Served, warmUp: HasTokenizer, access: Access, store: Store, allowPull: AllowPull, mcp: await McpAsync());
    }

    public virtual async Task DisposeAsync()
    {
        if (_host is not null)
            await _host.DisposeAsync();
        if (_model is not null)
            await _model.DisposeAsync();
    }

    /// <summary>Test classes of one collection or several start at the same time, and write the same file.</summary>
    private static readonly Lock Writing = new();

    private string TinyModelFile()
    {
        string path = Path.Combine(AppContext.BaseDirectory, $"tiny-http-{Architecture}{(FillsInMiddle ? "-middle" : "")}{(HasTokenizer ? "" : "-tokens")}{(ControlTokens.Count > 0 ? $"-{GetType().Name}" : "")}.gguf");
        lock (Writing)
            TinyModel.Write(path, Architecture, fillsInMiddle: FillsInMiddle, hasTokenizer: HasTokenizer, controlTokens: ControlTokens);
        return path;
    }
}

/// <summary>The same with a store.</summary>
public sealed class KeepingServer : TinyServer
{
    private readonly Lazy<TempStore> _kept = new(() => new TempStore());

    internal override ServerStore? Store => _kept.Value.Store;

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        await _kept.Value.DisposeAsync();
    }
}

/// <summary>The same with the tokens for filling in the middle.</summary>
public sealed class MiddleServer : TinyServer
{
    protected override bool FillsInMiddle => true;
}

/// <summary>The same with replies that repeat bit for bit.</summary>
public sealed class DeterministicServer : TinyServer
{
    protected override bool Deterministic => true;
}

/// <summary>The same without a tokenizer.</summary>
public sealed class TokenServer : TinyServer
{
    protected override bool HasTokenizer => false;
}

/// <summary>The same with attention and recurrent layers, whose prefixes are shared through checkpoints.</summary>
public sealed class HybridServer : TinyServer
{
    protected override TinyArchitecture Architecture => TinyArchitecture.Lfm2;
}
