using System.Text;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class ConstraintStateTests
{
    private const string Person = """
        {"type":"object","properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer","minimum":0,"maximum":150},
        "tags":{"type":"array","items":{"enum":["red","green"]},"maxItems":4},"note":{"type":["string","null"]}},"required":["name","age","tags"],"additionalProperties":false}
        """;

    public static TheoryData<string> Sources => new()
    {
        Person,
        """true""",
        """{"type":"string","pattern":"^(日本|[a-f]+\")*$"}""",
        """{"type":"string","minLength":3,"maxLength":9}""",
        """{"anyOf":[{"type":"string","maxLength":3},{"enum":["hello world","aaaaaaaa"]}]}""",
        """{"type":"object","additionalProperties":{"type":"number"}}""",
    };

    [Theory]
    [MemberData(nameof(Sources))]
    public void The_mask_allows_exactly_the_tokens_that_would_be_accepted(string schema)
    {
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema(schema);
        for (int seed = 0; seed < 6; seed++)
        {
            Random random = new(seed);
            ConstraintState state = ConstraintTesting.Start(constraint);
            for (int step = 0; step < 60 && !state.MustEnd; step++)
            {
                List<int> allowed = ConstraintTesting.AllowedTokens(state);
                List<int> accepted = [.. Enumerable.Range(0, ConstraintTesting.Vocabulary.VocabularySize).Where(state.IsTokenAllowed)];
                Assert.True(allowed.SequenceEqual(accepted), $"seed {seed}, step {step}");
                allowed.Remove(ConstraintTesting.EndToken);
                if (allowed.Count == 0)
                    break;
                Assert.True(state.TryAccept(allowed[random.Next(allowed.Count)]));
            }
        }
    }

    [Fact]
    public void A_draw_that_the_constraint_allows_makes_no_mask_and_a_refused_one_is_drawn_from_the_allowed()
    {
        int size = ConstraintTesting.Vocabulary.VocabularySize, good = ConstraintTesting.TokenOf("hello"), better = ConstraintTesting.TokenOf("red");
        CompiledConstraint constraint = CompiledConstraint.FromRegex("hello|ab");
        TokenMask mask = new(size);
        foreach (SamplingOptions options in (SamplingOptions[])[SamplingOptions.Greedy, new() { TopK = 2 }, new() { TopP = 0.9f, TopLogprobs = 0 }, new()])
        {
            float[] logits = new float[size];
            logits[good] = 40;
            ConstraintState state = ConstraintTesting.Start(constraint);
            mask.ClearAll();
            Assert.Equal(good, new Sampler(options, [], size, 1).SampleWithin(logits, state, mask).Token);
            Assert.Equal(0, mask.Count);
            logits[better] = 80;
            Assert.Equal(good, new Sampler(options, [], size, 1).SampleWithin(logits, state, mask).Token);
            Assert.True(mask.Count > 0);
            Assert.Equal(0, state.AcceptedTokens);
        }
    }

    [Fact]
    public void Draws_within_a_constraint_have_the_distribution_of_the_allowed_tokens()
    {
        int size = ConstraintTesting.Vocabulary.VocabularySize;
        int[] allowed = [ConstraintTesting.TokenOf("red"), ConstraintTesting.TokenOf("blue"), ConstraintTesting.TokenOf("foo")];
        ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromGbnf("root ::= \"red\" | \"blue\" | \"foo\""));
        float[] logits = new float[size];
        Array.Fill(logits, -20);
        (logits[allowed[0]], logits[allowed[1]], logits[allowed[2]], logits[ConstraintTesting.TokenOf("hello")]) = (1, 2, 3, 4);
        int[] counts = new int[3];
        TokenMask mask = new(size);
        const int Draws = 20_000;
        for (int i = 0; i < Draws; i++)
            counts[Array.IndexOf(allowed, new Sampler(SamplingOptions.Default, [], size, (ulong)i).SampleWithin((float[])logits.Clone(), state, mask).Token)]++;
        double sum = Math.Exp(1) + Math.Exp(2) + Math.Exp(3);
        for (int i = 0; i < 3; i++)
            Assert.Equal(Math.Exp(i + 1) / sum, counts[i] / (double)Draws, 0.015);
    }

    [Fact]
    public void A_refused_token_changes_nothing()
    {
        ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromJsonSchema(Person));
        ulong[] before = ConstraintTesting.MaskOf(state);
        Assert.False(state.TryAccept(ConstraintTesting.TokenOf("},")));
        Assert.False(state.TryAccept(ConstraintTesting.EndToken));
        Assert.False(state.TryAccept(-1));
        Assert.False(state.TryAccept(int.MaxValue));
        Assert.Equal(0, state.AcceptedTokens);
        Assert.Equal(before, ConstraintTesting.MaskOf(state));
    }

    [Fact]
    public void Control_tokens_are_never_allowed_unless_the_grammar_names_them()
    {
        ConstraintState json = ConstraintTesting.Start(CompiledConstraint.FromJsonSchema("""{"type":"string"}"""));
        Assert.True(json.TryAccept(ConstraintTesting.TokenOf("\"")));
        Assert.False(json.IsTokenAllowed(ConstraintTesting.ToolToken));
        ConstraintState named = ConstraintTesting.Start(CompiledConstraint.FromGbnf("root ::= \"a\" <|tool|> \"b\""));
        Assert.True(named.TryAccept(ConstraintTesting.TokenOf("a")));
        Assert.Contains(ConstraintTesting.ToolToken, ConstraintTesting.AllowedTokens(named));
        Assert.True(named.TryAccept(ConstraintTesting.ToolToken));
        Assert.True(named.TryAccept(ConstraintTesting.TokenOf("b")));
        Assert.True(named.MustEnd);
    }

    [Fact]
    public void Nothing_is_allowed_after_the_end_token()
    {
        ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromRegex("a*"));
        Assert.True(state.IsComplete);
        Assert.False(state.MustEnd);
        Assert.True(state.TryAccept(ConstraintTesting.EndToken));
        Assert.True(state.MustEnd);
        Assert.Empty(ConstraintTesting.AllowedTokens(state));
        Assert.False(state.IsTokenAllowed(ConstraintTesting.TokenOf("a")));
        Assert.False(state.TryAccept(ConstraintTesting.TokenOf("aaaa")));
    }

    [Fact]
    public void Forced_bytes_become_tokens_and_the_last_one_that_could_be_longer_is_left_to_sampling()
    {
        ConstraintState state = ConstraintTesting.Start(CompiledConstraint.FromGbnf("root ::= \"{\\\"arguments\\\":\" (\"true\" | \"null\") \"}\""));
        int[] buffer = new int[16];
        int count = state.ForcedTokens(buffer);
        string forced = string.Concat(buffer[..count].Select(t => Encoding.UTF8.GetString(ConstraintTesting.TokenBytes[t])));
        Assert.Equal("{\"arguments", forced); // "\":" may yet become "\": \"" in other grammars; sampling decides
        foreach (int token in buffer[..count])
            Assert.True(state.TryAccept(token));
        Assert.True(state.TryAccept(ConstraintTesting.TokenOf("\":")));
        Assert.Equal(0, state.ForcedTokens(buffer));
        Assert.True(state.TryAccept(ConstraintTesting.TokenOf("true")));
        Assert.Equal(1, state.ForcedTokens(buffer));
        Assert.Equal(ConstraintTesting.TokenOf("}"), buffer[0]);
    }

    [Fact]
    public void States_that_outlive_a_cache_reset_stay_right()
    {
        // Each count of this string is a configuration of its own, so thousands of characters overflow the cache several times.
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema("""{"type":"array","items":{"type":"string","minLength":30000,"maxLength":40000}}""");
        ConstraintState kept = ConstraintTesting.Start(constraint);
        foreach (string piece in (string[])["[\"", "hello", "é"])
            Assert.True(kept.TryAccept(ConstraintTesting.TokenOf(piece)));
        ulong[] before = ConstraintTesting.MaskOf(kept);
        ConstraintState runner = ConstraintTesting.Start(constraint);
        Assert.True(runner.TryAccept(ConstraintTesting.TokenOf("[\"")));
        int epoch = constraint.Cache.Epoch;
        for (int i = 0; i < 35_000; i++)
            Assert.True(runner.TryAccept(ConstraintTesting.TokenOf(i % 3 == 0 ? "é" : "a")));
        Assert.True(constraint.Cache.Epoch > epoch, "the test must overflow the cache");
        Assert.True(runner.TryAccept(ConstraintTesting.TokenOf("\"]")));
        Assert.True(runner.MustEnd);
        Assert.Equal(before, ConstraintTesting.MaskOf(kept));
        Assert.True(kept.TryAccept(ConstraintTesting.TokenOf("日")));
    }

    [Fact]
    public async Task Threads_that_share_a_constraint_see_the_same_masks()
    {
        CompiledConstraint shared = CompiledConstraint.FromJsonSchema(Person);
        CompiledConstraint alone = CompiledConstraint.FromJsonSchema(Person);
        string expected = string.Join('\n', Enumerable.Range(0, 8).Select(seed => ConstraintTesting.RandomWalk(alone, new Random(seed))));
        string[] replies = new string[8];
        await Task.WhenAll(Enumerable.Range(0, 8).Select(seed => Task.Run(() => replies[seed] = ConstraintTesting.RandomWalk(shared, new Random(seed)))));
        Assert.Equal(expected, string.Join('\n', replies));
    }

    [Fact]
    public void Cached_masks_stay_within_their_budget_and_evicted_ones_are_made_again()
    {
        const int Size = 20_000;
        ReadOnlyMemory<byte>[] tokens = [.. Enumerable.Range(0, Size).Select(i => (ReadOnlyMemory<byte>)(i is > 0 and <= 256 ? [(byte)(i - 1)] : Encoding.UTF8.GetBytes($"t{i}")))];
        TokenVocabularyTrie vocabulary = TokenVocabularyTrie.Build(tokens, [0], new Dictionary<int, string>(), maskBudgetBytes: 20_000);
        CompiledConstraint constraint = CompiledConstraint.FromRegex("([a-z0-9]{2}){30}");
        ConstraintState state = new(constraint, vocabulary);
        List<ulong[]> masks = [];
        ulong[] Mask()
        {
            ulong[] words = new ulong[(Size + 63) / 64];
            state.FillMask(words);
            return words;
        }
        for (int i = 0; i < 60; i++)
        {
            masks.Add(Mask());
            Assert.True(vocabulary.CachedMaskBytes <= 20_000);
            Assert.True(state.TryAccept(1 + 'a'));
        }
        state = new(constraint, vocabulary);
        for (int i = 0; i < 60; i++)
        {
            Assert.Equal(masks[i], Mask());
            Assert.True(state.TryAccept(1 + 'a'));
        }
    }
}
