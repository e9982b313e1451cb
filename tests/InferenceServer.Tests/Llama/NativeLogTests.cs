using InferenceServer.Llama.Native;
using LLama.Native;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Tests.Llama;

/// <summary>A good start says nothing that nobody can do anything about, and what is lost is said.</summary>
public sealed class NativeLogTests
{
    [Theory]
    [InlineData(LLamaLogLevel.Warning, "llama_context: n_ctx_seq (4096) < n_ctx_train (131072) -- the full capacity of the model will not be utilized", LogLevel.Debug)]
    [InlineData(LLamaLogLevel.Warning, "load: control-looking token: 128247 '</s>' was not control-type; this is probably a bug in the model. its type will be overridden", LogLevel.Debug)]
    [InlineData(LLamaLogLevel.Warning, "llm_load_vocab: GENERATION QUALITY WILL BE DEGRADED!", LogLevel.Warning)]
    [InlineData(LLamaLogLevel.Warning, "failed to mlock 1024-byte buffer (after previously locking 0 bytes): Cannot allocate memory", LogLevel.Warning)]
    [InlineData(LLamaLogLevel.Error, "llama_decode: the batch is empty", LogLevel.Error)]
    [InlineData(LLamaLogLevel.Info, "print_info: arch = llama", LogLevel.Debug)]
    public void A_warning_is_one_only_where_something_is_lost(LLamaLogLevel level, string line, LogLevel expected)
    {
        Collector collector = new();
        new NativeLog(collector).OnNativeLog(level, line + "\n");
        Assert.Equal(expected, collector.Levels.Single());
    }

    private sealed class Collector : ILogger
    {
        public List<LogLevel> Levels { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Levels.Add(logLevel);
    }
}
