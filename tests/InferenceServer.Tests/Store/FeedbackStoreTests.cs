using System.Text;
using InferenceServer.Api;
using InferenceServer.Store;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Store;

/// <summary>Feedback stays and counts: what sweeps leave alone may fill the store, and then says so.</summary>
public sealed class FeedbackStoreTests
{
    private static StoredFeedback Rating(string id, string reply, string owner = "", int bytes = 10, string rating = "up", string kind = "rating") =>
        new(id, owner, DateTimeOffset.UnixEpoch, kind, "m", null, rating, reply, "prompt", Encoding.UTF8.GetBytes(new string('x', bytes)));

    [Fact]
    public async Task Of_each_kind_there_is_one_about_a_reply_and_each_owner_has_its_own()
    {
        await using TempStore store = new();
        FeedbackStore feedback = store.Store.Feedback;
        foreach (StoredFeedback one in (StoredFeedback[])[Rating("a", "r"), Rating("b", "r", rating: "down"), Rating("c", "s", rating: "down"), Rating("d", "r", kind: "edit"), Rating("e", "r", owner: "bob")])
            await feedback.AddAsync(one);
        Assert.Equal(["b", "c", "d"], (await feedback.ListAsync("", new PageQuery(null, 10, false), null, null)).Items.Select(item => item.Id));
        Assert.Equal(["b", "c"], (await feedback.RatedDownAsync("", "prompt")).Select(item => item.Id));
        Assert.Equal(["c", "d"], (await feedback.ReadAsync("", (await feedback.ReadAsync("", 0, 1))[0].Seq, 10)).Select(row => row.Feedback.Id));
        Assert.Null(await feedback.FindAsync("bob", "b"));
        Assert.False(await feedback.DeleteAsync("bob", "b"));
        Assert.Equal(1, await feedback.DeleteAllAsync("bob"));
        Assert.Equal(("m", 1L, 2L, 1L), Assert.Single((await feedback.CountAsync("")).Models));
    }

    [Fact]
    public async Task No_sweep_takes_it_and_it_takes_the_place_of_what_sweeps_take()
    {
        FakeTimeProvider clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
        await using TempStore store = new(clock, TimeSpan.FromDays(30), maxBytes: 1_000);
        await store.Store.Feedback.AddAsync(Rating("kept", "r", bytes: 700));
        clock.Advance(TimeSpan.FromDays(365));
        await store.Store.Completions.AddAsync(new StoredCompletion("c", "", clock.GetUtcNow(), "m", new Dictionary<string, string>(), new byte[400], "[]"u8.ToArray()));
        await store.Database.SweepAsync();
        Assert.Null(await store.Store.Completions.FindAsync("", "c"));
        Assert.NotNull(await store.Store.Feedback.FindAsync("", "kept"));

        RequestProblem full = await Assert.ThrowsAsync<RequestProblem>(() => store.Store.Feedback.AddAsync(Rating("more", "s", bytes: 400)));
        Assert.Equal((ProblemKind.StorageFull, "store_full"), (full.Kind, full.Code));
        // What takes another one's place needs room for the difference only, and one that finds none leaves the other as it was.
        await Assert.ThrowsAsync<RequestProblem>(() => store.Store.Feedback.AddAsync(Rating("larger", "r", bytes: 1_100)));
        Assert.NotNull(await store.Store.Feedback.FindAsync("", "kept"));
        await store.Store.Feedback.AddAsync(Rating("other", "r", bytes: 900));
        Assert.Null(await store.Store.Feedback.FindAsync("", "kept"));
    }
}
