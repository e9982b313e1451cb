using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine;

/// <summary>A real engine over llama.cpp and a tiny random model of the wanted architecture, with every invariant checked after every step. Its clock stands still: how large steps are, and so how values are rounded, does not depend on how busy the machine is.</summary>
internal sealed class TinyEngine : IAsyncDisposable
{
    private static readonly Lazy<LlamaLibrary> Loaded =
        new(() => LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance));

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"tiny-{Guid.NewGuid():N}.gguf");
    private readonly LlamaModel _model;
    private readonly LlamaModel? _draft;

    public TinyEngine(TinyArchitecture architecture = TinyArchitecture.Llama, int cells = 4096, EngineOptions? options = null, bool unified = true, int batch = 512, Action<string>? writeDraft = null)
    {
        TinyModel.Write(_path, architecture);
        _model = LlamaModel.Load(Library, _path, new LlamaModelOptions(), null, CancellationToken.None);
        LlamaContextOptions context = new() { CellCount = cells, BatchSize = batch, MicroBatchSize = Math.Min(batch, 256), KvUnified = unified, Threads = 1, BatchThreads = 1 };
        if (writeDraft is not null)
        {
            writeDraft(_path + ".draft");
            _draft = LlamaModel.Load(Library, _path + ".draft", new LlamaModelOptions(), null, CancellationToken.None);
        }
        try
        {
            Engine = InferenceEngine.Start((options ?? new EngineOptions()) with { CheckInvariants = true, Device = options?.Device ?? DeviceProfile.TwoCores }, _model, context, new FakeTimeProvider(), NullLogger.Instance,
                _draft is null ? null : new DraftModel(_draft, LongestDraft: 4, LeastProbability: 0, Cells: cells));
        }
        catch
        {
            Free();
            throw;
        }
    }

    public static LlamaLibrary Library => Loaded.Value;

    public InferenceEngine Engine { get; }

    public LlamaVocab Vocab => _model.Vocab;

    public int[] Tokens(string text) => _model.Vocab.Tokenize(text, addSpecial: false, parseSpecial: true);

    public static GenerationRequest Greedy(int[] prompt, int maxTokens = 16) =>
        new() { PromptTokens = prompt, MaxTokens = maxTokens, Sampling = SamplingOptions.Greedy, IgnoreEndOfGeneration = true };

    /// <summary>Reads a generation to its end; fails after a minute.</summary>
    public static async Task<(int[] Tokens, GenerationResult Result)> ReadAsync(Generation generation)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(1));
        List<int> tokens = [];
        await foreach (GenerationEvent e in generation.Events.ReadAllAsync(limit.Token))
            if (e.Kind == GenerationEventKind.Finished)
                return e.Result!.Error is { } error ? throw new InvalidOperationException(error) : ([.. tokens], e.Result);
            else
                tokens.Add(e.Token);
        throw new InvalidOperationException("The events ended without a result.");
    }

    /// <summary>Submits requests that arrive in one step, however busy the machine is.</summary>
    public Task<Generation[]> SubmitTogetherAsync(IEnumerable<GenerationRequest> requests) =>
        Engine.InvokeAsync(_ => requests.Select(Engine.Submit).ToArray());

    public async Task<(int[] Tokens, GenerationResult Result)> RunAsync(GenerationRequest request) => await ReadAsync(Engine.Submit(request));

    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        Free();
    }

    private void Free()
    {
        _draft?.Dispose();
        _model.Dispose();
        File.Delete(_path);
        File.Delete(_path + ".draft");
    }
}
