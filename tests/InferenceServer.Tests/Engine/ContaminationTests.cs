using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine;

/// <summary>
/// Many conversations with a secret each, in two namespaces, over a pool that holds a few of them: everything that moves KV between tiers
/// happens at once, over llama.cpp itself, and every reply must be the one that a cold run of the same prompt gives.
/// </summary>
[Collection(nameof(RunsAlone))]
public sealed class ContaminationTests(ITestOutputHelper output)
{
    private const int Sessions = 200;
    private const int Turns = 4;

    /// <summary>
    /// Two tokens this close may change places when rows are computed together. Of 50 sessions without any sharing or tiers the same work swaps 9 to
    /// 14 times, the widest by 0.028 (five runs); with them 6 to 14 times, the widest by 0.039 (twelve runs). Of 200: 62 and 65 times, 0.036 and 0.052.
    /// </summary>
    private const float NearTie = 0.09f;

    private sealed record Turn(int Session, int[] Prompt, int MaxTokens, int[] Reply, float[] Margins)
    {
        public string Namespace => Session % 2 == 0 ? "even" : "odd";
    }

    [Fact]
    public async Task No_reply_is_touched_by_another_session_whatever_the_tiers_are_doing()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("contamination-");
        try
        {
            List<Turn[]> rounds = await ColdRunsAsync();
            float[] margins = [.. rounds.SelectMany(round => round.SelectMany(turn => turn.Margins))];
            double clear = margins.Count(margin => margin >= NearTie) / (double)margins.Length;
            Assert.True(clear > 0.9, $"only {clear:P0} of the choices are clear enough to show a foreign cell");
            EngineOptions options = new()
            {
                MaxSequences = 6,
                HostCacheBytes = 2 << 20,
                DiskCacheDirectory = folder.FullName,
                DiskCacheBytes = 64 << 20,
            };
            int nearTies = 0, cancelled = 0;
            float widest = 0;
            long hostHits = 0, diskHits = 0, evicted = 0, preemptions = 0, cached = 0, prompts = 0;
            Random random = new(7);
            for (int half = 0; half < 2; half++)
            {
                // The second half meets what the first left on disk.
                await using TinyEngine tiny = new(cells: 1408, options: options);
                foreach (Turn[] round in rounds.Skip(half * Turns / 2).Take(Turns / 2))
                {
                    random.Shuffle(round);
                    List<(Turn Turn, Generation Generation)> open = [];
                    foreach (Turn turn in round)
                    {
                        open.Add((turn, tiny.Engine.Submit(Request(turn.Prompt, turn.MaxTokens) with { CacheNamespace = turn.Namespace, SessionId = $"session {turn.Session}" })));
                        if (random.Next(4) != 0)
                            continue;
                        // The same words in the other namespace, given up somewhere on the way.
                        Generation stray = tiny.Engine.Submit(Request(turn.Prompt, 200) with { CacheNamespace = turn.Namespace == "even" ? "odd" : "even" });
                        _ = CancelLaterAsync(stray, random.Next(5));
                        cancelled++;
                    }
                    foreach ((Turn turn, Generation generation) in open)
                    {
                        (int[] tokens, GenerationResult result) = await TinyEngine.ReadAsync(generation);
                        Assert.Equal(turn.Reply.Length, tokens.Length);
                        int same = turn.Reply.AsSpan().CommonPrefixLength(tokens);
                        if (same == tokens.Length)
                            continue;
                        Assert.True(turn.Margins[same] < NearTie,
                            $"session {turn.Session} says another token at {same} ({result.CachedTokens} of {result.PromptTokens} cached), and it was no near tie: {turn.Margins[same]}");
                        nearTies++;
                        widest = Math.Max(widest, turn.Margins[same]);
                    }
                }
                await tiny.Engine.StopAsync(TimeSpan.FromSeconds(30));
                EngineSnapshot end = tiny.Engine.Snapshot;
                Assert.Equal((0, 0L), (end.CellsPrivate + end.CellsPinned, end.DiskErrors + end.FailedSteps + end.DiskFilesDamaged));
                Assert.Equal(end.PromptTokens, end.PromptTokensCached + end.PromptTokensComputed);
                hostHits += end.HostHitTokens;
                diskHits += end.DiskHitTokens;
                evicted += end.EvictedTokens;
                preemptions += end.Preemptions;
                cached += end.PromptTokensCached;
                prompts += end.PromptTokens;
            }
            output.WriteLine($"{Sessions} sessions, {Turns} turns: {nearTies} near ties (widest {widest}, {clear:P1} of choices clearer), {cached}/{prompts} prompt tokens cached, {hostHits} from host, {diskHits} from disk, "
                + $"{evicted} evicted, {preemptions} preemptions, {cancelled} cancelled");
            Assert.True(hostHits > 0 && diskHits > 0 && evicted > 0 && preemptions > 0 && cancelled > 0, "some tier was not exercised");
            Assert.True(nearTies <= Sessions * Turns / 6, $"{nearTies} near ties are too many to be ties");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static GenerationRequest Request(int[] prompt, int maxTokens) =>
        TinyEngine.Greedy(prompt, maxTokens) with { Sampling = SamplingOptions.Greedy with { TopLogprobs = 2 } };

    private static async Task CancelLaterAsync(Generation stray, int events)
    {
        for (int i = 0; i < events && await stray.Events.WaitToReadAsync(); i++)
            stray.Events.TryRead(out _);
        stray.Cancel();
    }

    /// <summary>Each prompt alone, in a namespace of its own; the reply becomes part of the session's next prompt.</summary>
    private static async Task<List<Turn[]>> ColdRunsAsync()
    {
        await using TinyEngine tiny = new(cells: 2048, options: new EngineOptions { MaxSequences = 1 });
        List<Turn[]> rounds = [];
        for (int round = 0; round < Turns; round++)
        {
            Turn[] turns = new Turn[Sessions];
            for (int session = 0; session < Sessions; session++)
            {
                int[] question = tiny.Tokens($" Turn {round}: the secret of {session} is canary-{session * 7919 % 9973:x}-{session}. Say it.");
                int[] prompt = round == 0
                    ? [.. tiny.Tokens("You keep secrets. Whoever asks for that of another is told nothing at all, and the reply is short."), .. question]
                    : [.. rounds[^1][session].Prompt, .. rounds[^1][session].Reply, .. question];
                int maxTokens = session % 4 == 0 ? 100 : 10;
                Generation cold = tiny.Engine.Submit(Request(prompt, maxTokens) with { CacheNamespace = $"cold {session} {round}" });
                List<int> reply = [];
                List<float> margins = [];
                await foreach (GenerationEvent e in cold.Events.ReadAllAsync())
                    if (e.Kind == GenerationEventKind.Token)
                    {
                        reply.Add(e.Token);
                        margins.Add(e.Logprobs!.Top[0].Logprob - e.Logprobs.Top[1].Logprob);
                    }
                turns[session] = new Turn(session, prompt, maxTokens, [.. reply], [.. margins]);
            }
            rounds.Add(turns);
        }
        // Copies: the caller shuffles, and the loop above reads in order.
        return [.. rounds.Select(turns => turns.ToArray())];
    }
}
