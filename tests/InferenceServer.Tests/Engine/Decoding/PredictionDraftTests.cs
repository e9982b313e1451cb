using InferenceServer.Engine.Decoding;

namespace InferenceServer.Tests.Engine.Decoding;

public sealed class PredictionDraftTests
{
    private static readonly int[] Predicted = Enumerable.Range(100, 40).ToArray();

    [Fact]
    public void A_reply_as_predicted_is_drafted_from_the_first_token_to_the_last()
    {
        PredictionDraft draft = new(Predicted);
        Assert.Equal([100, 101, 102], Draft(draft, [], 3));
        Assert.Equal([105, 106], Draft(draft, Predicted[..5], 2));
        Assert.Equal([139], Draft(draft, Predicted[..39], 8));
        Assert.Empty(Draft(draft, Predicted, 8));
        Assert.Equal(40, draft.MatchedTokens);
    }

    [Fact]
    public void After_a_replaced_token_two_agreeing_tokens_bring_it_back()
    {
        PredictionDraft draft = new(Predicted);
        int[] reply = [.. Predicted[..10], 7, .. Predicted[11..]];
        Assert.Empty(Draft(draft, reply[..11], 4));
        Assert.Empty(Draft(draft, reply[..12], 4));
        Assert.Equal([113, 114, 115, 116], Draft(draft, reply[..13], 4));
        Assert.Equal(12, draft.MatchedTokens);
    }

    [Fact]
    public void Inserted_and_deleted_text_is_skipped()
    {
        int[] inserted = [.. Predicted[..10], 7, 8, 9, .. Predicted[10..12]];
        Assert.Equal([112, 113], Draft(new PredictionDraft(Predicted), inserted, 2));
        int[] deleted = [.. Predicted[..10], .. Predicted[20..22]];
        Assert.Equal([122, 123], Draft(new PredictionDraft(Predicted), deleted, 2));
    }

    [Fact]
    public void A_repeated_passage_resumes_at_the_occurrence_further_on()
    {
        int[] predicted = [1, 2, 3, 50, 1, 2, 3, 60, 1, 2, 3, 70];
        PredictionDraft draft = new(predicted);
        Assert.Equal([60], Draft(draft, [1, 2, 3, 50, 9, 1, 2, 3], 1));
    }

    [Fact]
    public void Having_resumed_too_far_on_it_finds_the_way_back()
    {
        int[] predicted = [10, 11, 12, 13, 14, 15, 16, 5, 6, 20, 21];
        PredictionDraft draft = new(predicted);
        Assert.Equal([20], Draft(draft, [10, 11, 5, 6], 1));
        Assert.Equal([14, 15], Draft(draft, [10, 11, 5, 6, 12, 13], 2));
    }

    [Fact]
    public void An_empty_prediction_and_a_foreign_reply_draft_nothing()
    {
        Assert.Empty(Draft(new PredictionDraft(ReadOnlyMemory<int>.Empty), [1, 2, 3], 4));
        PredictionDraft draft = new(Predicted);
        Assert.Empty(Draft(draft, [1, 2, 3], 4));
        Assert.Equal(0, draft.MatchedTokens);
        Assert.Throws<ArgumentException>(() => draft.Follow([1]));
    }

    [Fact]
    public void Most_of_a_lightly_edited_text_comes_from_the_draft_however_steps_are_cut()
    {
        int seed = 17;
        Random random = new(seed);
        for (int round = 0; round < 100; round++)
        {
            int[] predicted = new int[600];
            for (int i = 0; i < predicted.Length; i++)
                predicted[i] = random.Next(200);
            List<int> reply = [.. predicted];
            for (int edit = 0; edit < 12; edit++)
            {
                int at = random.Next(reply.Count - 4);
                if (random.Next(2) == 0)
                    reply.RemoveRange(at, random.Next(4));
                if (random.Next(2) == 0)
                    reply.Insert(at, 1000 + random.Next(5));
            }

            PredictionDraft drafter = new(predicted);
            int steps = 0;
            for (int length = 0; length < reply.Count; steps++)
            {
                int[] draft = Draft(drafter, [.. reply[..length]], 8);
                int accepted = draft.Zip(reply.Skip(length)).TakeWhile(pair => pair.First == pair.Second).Count();
                length = Math.Min(reply.Count, length + accepted + 1);
            }
            // 67 steps if nothing were edited; an edit costs about three undrafted ones and a cut draft.
            Assert.True(steps < 160, $"seed {seed}, round {round}: {steps} steps for {reply.Count} tokens");
        }
    }

    private static int[] Draft(PredictionDraft drafter, int[] reply, int most)
    {
        int[] draft = new int[most];
        return draft[..drafter.Draft(reply, draft)];
    }
}
