namespace InferenceServer.Engine;

/// <summary>A token's bytes; control tokens are empty unless asked for. Valid as long as the model is.</summary>
public delegate ReadOnlySpan<byte> TokenBytesLookup(int token, bool control);

/// <summary>What the engine must know of a vocabulary: how tokens read, and which end a reply.</summary>
public sealed record EngineVocabulary(int Count, TokenBytesLookup TokenBytes, Func<int, bool> IsEndOfGeneration);
