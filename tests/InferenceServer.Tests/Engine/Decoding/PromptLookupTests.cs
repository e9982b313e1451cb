using InferenceServer.Engine.Decoding;

namespace InferenceServer.Tests.Engine.Decoding;

public sealed class PromptLookupTests
{
    [Fact]
    public void A_draft_continues_the_latest_earlier_occurrence_of_the_longest_match()
    {
        int seed = 606;
        Random random = new(seed);
        for (int round = 0; round < 300; round++)
        {
            int alphabet = random.Next(2, 12);
            PromptLookup lookup = new(random.Next(2) * 400);
            List<int> tokens = [];
            while (tokens.Count < 400)
            {
                for (int count = random.Next(1, 30); count > 0; count--)
                    tokens.Add(random.Next(alphabet));
                int[] draft = new int[random.Next(0, 9)];
                int drafted = lookup.Draft(tokens.ToArray(), draft);
                int[] expected = NaiveDraft(tokens, draft.Length);
                Assert.True(expected.AsSpan().SequenceEqual(draft.AsSpan(0, drafted)), $"seed {seed}, round {round}, {tokens.Count} tokens");
            }
        }
    }

    [Fact]
    public void A_text_that_repeats_itself_is_drafted_beyond_its_own_end()
    {
        int[] draft = new int[7];
        Assert.Equal(7, new PromptLookup().Draft([9, 1, 2, 3, 1, 2, 3, 1], draft));
        Assert.Equal([2, 3, 1, 2, 3, 1, 2], draft);
    }

    [Fact]
    public void New_tokens_and_too_short_texts_give_no_draft()
    {
        int[] draft = new int[4];
        Assert.Equal(0, new PromptLookup().Draft([], draft));
        Assert.Equal(0, new PromptLookup().Draft([1], draft));
        Assert.Equal(0, new PromptLookup().Draft([1, 1], draft));
        Assert.Equal(0, new PromptLookup().Draft([1, 2, 3, 4, 5, 6, 7], draft));
        Assert.Equal(0, new PromptLookup().Draft([1, 2, 3, 1, 2], []));
    }

    [Fact]
    public void A_sequence_that_shrank_is_refused()
    {
        PromptLookup lookup = new();
        lookup.Extend([1, 2, 3]);
        Assert.Throws<ArgumentException>(() => lookup.Extend([1, 2]));
    }

    [Fact]
    public void Drafting_step_by_step_allocates_nothing_when_the_length_was_foretold()
    {
        Random random = new(1);
        int[] tokens = new int[4000], draft = new int[8];
        for (int i = 0; i < tokens.Length; i++)
            tokens[i] = random.Next(50);
        PromptLookup lookup = new(tokens.Length);
        lookup.Draft(tokens.AsSpan(0, 1000), draft);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int length = 1001; length <= tokens.Length; length++)
            lookup.Draft(tokens.AsSpan(0, length), draft);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static int[] NaiveDraft(List<int> tokens, int most)
    {
        for (int n = 3; n >= 2; n--)
        {
            for (int end = tokens.Count - 1; end >= n && most > 0; end--)
            {
                if (!tokens.GetRange(end - n, n).SequenceEqual(tokens.GetRange(tokens.Count - n, n)))
                    continue;
                List<int> text = [.. tokens];
                for (int i = 0; i < most; i++)
                    text.Add(text[end + i]);
                return [.. text[tokens.Count..]];
            }
        }
        return [];
    }
}
