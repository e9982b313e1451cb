using InferenceServer.InProcess;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.InProcess;

/// <summary>Tiny random models in this process, one that chats and one that embeds, and the HTTP server over the same engines.</summary>
public class TinyInProcess : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("in-process-");

    private InProcessModel? _model;
    private TestHost? _host;

    /// <summary>A chat template instead of ChatML; null for that.</summary>
    protected virtual string? ChatTemplate => null;

    internal InProcessModel Model => _model!;

    internal TestHost Host => _host!;

    public async Task InitializeAsync()
    {
        string chat = Path.Combine(_folder.FullName, "tiny-chat.gguf"), embedder = Path.Combine(_folder.FullName, "tiny-embedder.gguf"), template = Path.Combine(_folder.FullName, "template.jinja");
        TinyModel.Write(chat);
        TinyModel.Write(embedder, TinyArchitecture.Bert);
        if (ChatTemplate is not null)
            await File.WriteAllTextAsync(template, ChatTemplate);
        _model = await InProcessModel.LoadAsync(Options(chat) with { EmbeddingModelPath = embedder, ChatTemplatePath = ChatTemplate is null ? null : template }, backend: LlamaBackend.Cpu);
        _host = await TestHost.StartAsync(_model.Served, embedders: _model.ServedEmbedders);
    }

    public static ModelOptions Options(string path) => new() { ModelPath = path, ContextSize = 8192, BatchSize = 256, Threads = 1 };

    public async Task DisposeAsync()
    {
        if (_host is not null)
            await _host.DisposeAsync();
        if (_model is not null)
            await _model.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
