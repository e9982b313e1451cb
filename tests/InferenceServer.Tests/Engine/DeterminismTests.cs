using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Engine;

/// <summary>Guards against replies that change with what runs beside them, or with what ran before: in a shared pool a near tie flips when cells lie elsewhere.</summary>
public sealed class DeterminismTests
{
    private const int Requests = 6;

    public static TheoryData<TinyArchitecture> Architectures => [.. Enum.GetValues<TinyArchitecture>().Where(architecture => architecture != TinyArchitecture.Bert)];

    private static GenerationRequest Request(TinyEngine tiny, int seed) => new()
    {
        PromptTokens = tiny.Tokens($"Tell me of number {seed}, and of {new string((char)('a' + seed), 40)}."),
        MaxTokens = 24,
        IgnoreEndOfGeneration = true,
        Sampling = SamplingOptions.Default with { Temperature = 1, Seed = (ulong)seed, TopLogprobs = 1 },
    };

    private static GenerationRequest Other(TinyEngine tiny, int number) => new()
    {
        PromptTokens = tiny.Tokens(string.Concat(Enumerable.Range(0, 60).Select(i => $"Others say {i * number}. "))),
        MaxTokens = 60,
        IgnoreEndOfGeneration = true,
        Sampling = SamplingOptions.Default with { Temperature = 1 },
    };

    /// <summary>Tokens with their log probabilities, to the last bit.</summary>
    private static async Task<string> ReadAsync(Generation generation)
    {
        List<string> read = [];
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(1));
        await foreach (GenerationEvent e in generation.Events.ReadAllAsync(limit.Token))
            if (e.Kind != GenerationEventKind.Finished)
                read.Add($"{e.Token} {BitConverter.SingleToInt32Bits(e.Logprobs?.Logprob ?? 0)}");
        return string.Join(' ', read);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public async Task A_seeded_request_repeats_bit_for_bit_alone_after_others_and_beside_them(TinyArchitecture architecture)
    {
        await using TinyEngine tiny = new(architecture, cells: 16 * 1024, options: new EngineOptions { Deterministic = true, HostCacheBytes = 64 << 20 });
        string[] alone = new string[Requests];
        for (int seed = 0; seed < Requests; seed++)
            alone[seed] = await ReadAsync(tiny.Engine.Submit(Request(tiny, seed)));
        Assert.Equal(Requests, alone.Distinct().Count());
        for (int round = 1; round <= 2; round++)
        {
            Generation[] all = await tiny.SubmitTogetherAsync(
                Enumerable.Range(0, 2 * Requests).Select(i => i % 2 == 0 ? Other(tiny, i + round) : Request(tiny, i / 2)));
            string[] beside = await Task.WhenAll(all.Select(ReadAsync));
            for (int seed = 0; seed < Requests; seed++)
            {
                Assert.Equal(alone[seed], beside[(2 * seed) + 1]);
                Assert.Equal(alone[seed], await ReadAsync(tiny.Engine.Submit(Request(tiny, seed))));
            }
        }
    }
}
