using System.Text;
using System.Text.Json;
using InferenceServer.Api;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Moderation;

/// <summary>A model that judges beside the rules: which classes count for what, what is made of long texts, and a real one in the gate.</summary>
public sealed class ModerationClassifierTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("classifier-");

    public void Dispose() => _folder.Delete(recursive: true);

    private static ModerationRules Rules(string members) => ModerationRulesReader.Read(Encoding.UTF8.GetBytes($"{{{members}}}"), "test");

    private static double Score(ModerationRules rules, ModerationVerdict verdict, string category) => verdict.Scores[rules.Categories.ToList().IndexOf(category)];

    /// <summary>One class scores how many bytes 'x' a piece has; the other is always 1.</summary>
    private static ServedEmbedder Counting(List<int[]> seen, int most = 16) => new()
    {
        Id = "counting",
        Created = TestHost.Created,
        Vocabulary = ScriptedVocabulary.Instance,
        Dimensions = 2,
        MaxInputTokens = most,
        Ranking = new RankingPrompt(null, false, [1], [2], [3]),
        Engine = new ScriptedEmbedding((inputs, _) =>
        {
            lock (seen)
                seen.AddRange(inputs);
            return Task.FromResult<float[][]>([.. inputs.Select(input => (float[])[input.Count(token => token == 'x'), 1])]);
        }),
    };

    [Fact]
    public async Task Classes_count_for_the_categories_of_their_names_from_their_own_thresholds_on()
    {
        ModerationRules rules = Rules("\"threshold\":0.9,\"categories\":{\"self-harm\":{\"threshold\":0.7},\"rude\":{}}");
        ModerationClassifier classifier = ModerationClassifier.For(Counting([]), ["Self_Harm", "safe"], rules);
        ModerationVerdict none = await classifier.CheckAsync("ab", CancellationToken.None), one = await classifier.CheckAsync("ax", CancellationToken.None);
        Assert.Equal((0.5, false), (Score(rules, none, "self-harm"), none.IsFlagged));
        Assert.Equal(1 / (1 + Math.Exp(-1)), Score(rules, one, "self-harm"), 1e-9);
        Assert.Equal(["self-harm"], rules.FlaggedCategories(one));
        Assert.Equal(0, Score(rules, one, "rude"));

        // Where classes exclude each other a score is a share.
        ModerationRules exclusive = Rules("\"classes\":\"exclusive\",\"categories\":{}");
        ModerationVerdict shared = await ModerationClassifier.For(Counting([]), ["self-harm", "safe"], exclusive).CheckAsync("ax", CancellationToken.None);
        Assert.Equal(0.5, Score(exclusive, shared, "self-harm"), 1e-9);

        Assert.Contains("safe", Assert.Throws<ServerStartException>(() => ModerationClassifier.For(Counting([]), ["ok", "safe"], rules)).Message, StringComparison.Ordinal);
        Assert.Contains("output_labels", Assert.Throws<ServerStartException>(() => ModerationClassifier.For(Counting([]), [], rules)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_long_text_is_judged_in_pieces_that_overlap_and_miss_nothing()
    {
        ModerationRules rules = Rules("\"categories\":{}");
        foreach (int length in (int[])[0, 1, 13, 14, 15, 26, 27, 100])
        {
            List<int[]> seen = [];
            string text = string.Concat(Enumerable.Range(0, length).Select(i => (char)('A' + (i % 26))));
            ModerationVerdict verdict = await ModerationClassifier.For(Counting(seen), ["hate", "safe"], rules).CheckAsync(text, CancellationToken.None);
            Assert.All(seen, piece => Assert.True(piece.Length <= 16 && piece[0] == 1 && piece[^1] == 3));
            Assert.Equal(text.Distinct().Order(), seen.SelectMany(piece => piece[1..^1]).Select(token => (char)token).Distinct().Order());
            Assert.Equal(length == 0 ? 0 : 0.5, Score(rules, verdict, "hate"));
            Assert.Equal(length <= 14 ? Math.Min(length, 1) : 1 + ((length - 14 + 12) / 13), seen.Count);
        }

        ModerationVerdict last = await ModerationClassifier.For(Counting([]), ["hate", "safe"], rules).CheckAsync(new string('a', 60) + "xxx", CancellationToken.None);
        Assert.Equal(1 / (1 + Math.Exp(-3)), Score(rules, last, "hate"), 1e-6);
    }

    [Fact]
    public async Task A_model_that_does_not_answer_in_time_has_failed_and_its_work_is_cancelled()
    {
        FakeTimeProvider clock = new(TestHost.Created);
        TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ServedEmbedder hanging = Counting([]) with
        {
            Engine = new ScriptedEmbedding(async (_, cancellation) =>
            {
                try
                {
                    await Task.Delay(Timeout.Infinite, cancellation);
                    return [];
                }
                finally
                {
                    left.SetResult();
                }
            }),
        };
        Task<ModerationVerdict> check = ModerationClassifier.For(hanging, ["hate", "safe"], ModerationRules.BuiltIn, clock).CheckAsync("a", CancellationToken.None);
        clock.Advance(TimeSpan.FromSeconds(21));
        Assert.False(check.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(2));
        RequestProblem error = await Assert.ThrowsAsync<RequestProblem>(() => check.WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal((ProblemKind.Failed, "moderation_failed"), (error.Kind, error.Code));
        await left.Task.WaitAsync(TimeSpan.FromSeconds(20));

        // Who goes away is no failure of the model's.
        using CancellationTokenSource gone = new();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ModerationClassifier.For(Counting([]) with { Engine = new ScriptedEmbedding((_, cancellation) => Task.FromCanceled<float[][]>(cancellation)) },
            ["hate", "safe"], ModerationRules.BuiltIn, clock).CheckAsync("a", gone.Token).WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task A_real_model_judges_beside_the_rules_and_stands_in_the_gate()
    {
        string path = Path.Combine(_folder.FullName, "judge.gguf");
        TinyModel.Write(path, TinyArchitecture.Bert, pooling: PoolingType.Rank, labels: ["hate", "safe", "violence"]);
        ModerationRules rules = Rules("\"threshold\":0.99,\"categories\":{\"hate\":{\"threshold\":0.000001},\"violence\":{\"rules\":[{\"phrases\":[\"dragon\"]}]}}");
        ServerOptions options = CommandLine.Read(["--threads", "1", "--batch-size", "64", "--moderation-model", path], new ConfigurationBuilder().Build(), _ => null).Options!;
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        (LoadedEmbedder loaded, ModerationClassifier classifier) = (await EmbedderLoader.LoadClassifierAsync(options.Model, library, rules, NullLoggerFactory.Instance))!.Value;
        await using LoadedEmbedder judge = loaded;
        Assert.Equal(["hate", "safe", "violence"], judge.Own!.ClassLabels);

        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, moderation: new ModerationGate(rules, ModerationMode.Refuse, classifier));
        JsonElement answer = await host.PostJsonAsync("/v1/moderations", "{\"input\":[\"A dragon.\",\"Nothing\"]}");
        Assert.Equal($"{rules.Id}+judge", answer.GetProperty("model").GetString());
        JsonElement[] scores = [.. answer.GetProperty("results").EnumerateArray().Select(result => result.GetProperty("category_scores"))];
        Assert.Equal(1, scores[0].GetProperty("violence").GetDouble());
        // The same text by itself, straight from the engine.
        RankingPrompt frame = judge.Served.Ranking!;
        float[] logits = (await judge.Served.Engine.EmbedAsync([[.. frame.Before, .. judge.Served.Vocabulary.Tokenize("Nothing", false, false), .. frame.After]], CancellationToken.None))[0];
        Assert.Equal(3, logits.Length);
        Assert.Equal(1 / (1 + Math.Exp(-logits[0])), scores[1].GetProperty("hate").GetDouble(), 1e-3);
        Assert.Equal(1 / (1 + Math.Exp(-logits[2])), scores[1].GetProperty("violence").GetDouble(), 1e-3);

        JsonElement refused = await host.PostJsonAsync("/v1/chat/completions", "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Nothing\"}]}");
        Assert.Equal("content_filter", refused.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Empty(engine.Submitted);
        Assert.Equal($"{rules.Id}+judge", refused.GetProperty("moderation").GetProperty("input").GetProperty("model").GetString());
    }

    [Fact]
    public async Task A_model_without_classes_is_refused_by_name_and_leaves_nothing_loaded()
    {
        string path = Path.Combine(_folder.FullName, "ranker.gguf");
        TinyModel.Write(path, TinyArchitecture.Bert, pooling: PoolingType.Rank);
        ServerOptions options = CommandLine.Read(["--threads", "1", "--batch-size", "64", "--moderation-model", path], new ConfigurationBuilder().Build(), _ => null).Options!;
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        ServerStartException error = await Assert.ThrowsAsync<ServerStartException>(() => EmbedderLoader.LoadClassifierAsync(options.Model, library, ModerationRules.BuiltIn, NullLoggerFactory.Instance));
        Assert.Contains("--moderation-model ranker", error.Message, StringComparison.Ordinal);
    }
}
