using System.Text;
using InferenceServer.Api;
using InferenceServer.Api.Replay;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Prometheus;

namespace InferenceServer.Tests.Api.Replay;

/// <summary>What is kept is bounded in bytes, number and time, and what is not kept any more still reaches those who read it.</summary>
public sealed class RecordingStoreTests
{
    private readonly FakeTimeProvider _clock = new();

    private RecordingStore Store(ReplayLimits limits) => new(limits, _clock, new ReplayMetrics(Metrics.WithCustomRegistry(Metrics.NewCustomRegistry())));

    private static (RecordingReader Reader, bool IsNew) Open(RecordingStore store, string key) =>
        store.Open(new ReplayRequest(key, TimeSpan.Zero, null), new RecordingSubject("", "/x", key, "hash"));

    private static RecordingReader Answer(RecordingStore store, string key, int bytes)
    {
        (RecordingReader reader, bool isNew) = Open(store, key);
        Assert.True(isNew);
        Begin(reader.Recording, "application/json");
        reader.Recording.Append(new byte[bytes]);
        reader.Recording.End(null);
        return reader;
    }

    private static void Begin(Recording recording, string type) => recording.Begin(200, new HeaderDictionary { ["Content-Type"] = type });

    private static string Text(RecordingReader reader) => string.Concat(reader.Available().Select(segment => Encoding.UTF8.GetString(segment.Span)));

    [Fact]
    public void Of_too_many_answers_those_that_ended_first_go()
    {
        RecordingStore store = Store(new ReplayLimits { Answers = 2 });
        foreach (string key in (string[])["a", "b", "c"])
            Answer(store, key, 10).Dispose();
        Assert.Equal((true, false, false), (Open(store, "a").IsNew, Open(store, "b").IsNew, Open(store, "c").IsNew));
    }

    [Fact]
    public void Of_too_many_bytes_those_that_ended_first_go()
    {
        RecordingStore store = Store(new ReplayLimits { TotalBytes = 250 });
        foreach (string key in (string[])["a", "b", "c"])
            Answer(store, key, 100).Dispose();
        Assert.Equal((true, false, false), (Open(store, "a").IsNew, Open(store, "b").IsNew, Open(store, "c").IsNew));
    }

    [Fact]
    public void An_answer_goes_when_its_time_is_over()
    {
        RecordingStore store = Store(new ReplayLimits { KeepFor = TimeSpan.FromMinutes(1) });
        Answer(store, "a", 10).Dispose();
        _clock.Advance(TimeSpan.FromSeconds(59));
        Open(store, "a").Reader.Dispose();
        Assert.False(Open(store, "a").IsNew);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(Open(store, "a").IsNew);
    }

    [Fact]
    public void An_answer_over_the_limit_reaches_its_readers_whole_and_is_found_by_no_other()
    {
        RecordingStore store = Store(new ReplayLimits { AnswerBytes = 20 });
        RecordingReader reader = Open(store, "a").Reader;
        Begin(reader.Recording, "text/event-stream");
        StringBuilder got = new();
        for (int i = 0; i < 100; i++)
        {
            reader.Recording.Append(Encoding.UTF8.GetBytes($"data: {i}\n\n"));
            got.Append(Text(reader));
            reader.Advance(reader.Available().Length);
        }

        reader.Recording.End(null);
        Assert.Equal(string.Concat(Enumerable.Range(0, 100).Select(i => $"id: {reader.Recording.Id}.{i + 1}\ndata: {i}\n\n")), got.ToString());
        Assert.False(reader.Recording.Cancelled.IsCancellationRequested);
        Assert.True(Open(store, "a").IsNew);
        Assert.Throws<RequestProblem>(() => store.Open("", reader.Recording.Id, null));
    }

    [Fact]
    public void Events_cut_anywhere_are_put_together_and_comments_have_no_id()
    {
        RecordingStore store = Store(new ReplayLimits());
        RecordingReader reader = Open(store, "a").Reader;
        Begin(reader.Recording, "text/event-stream; charset=utf-8");
        foreach (char c in "event: x\ndata: 1\n\n: ping\n\ndata: 2\n\ndata: cut")
            reader.Recording.Append([(byte)c]);
        reader.Recording.End(null);
        string id = reader.Recording.Id;
        Assert.Equal($"id: {id}.1\nevent: x\ndata: 1\n\n: ping\n\nid: {id}.3\ndata: 2\n\ndata: cut", Text(reader));
        Assert.Equal(": ping\n\n" + $"id: {id}.3\ndata: 2\n\ndata: cut", Text(store.Open("", id, new StreamPosition(id, 1))));
        Assert.Equal("data: cut", Text(store.Open("", id, new StreamPosition(id, 3))));
        Assert.Throws<RequestProblem>(() => store.Open("", id, new StreamPosition(id, 99)));
    }

    [Fact]
    public async Task Many_readers_that_come_and_go_while_it_is_made_all_see_the_same_bytes()
    {
        RecordingStore store = Store(new ReplayLimits());
        RecordingReader maker = Open(store, "a").Reader;
        Begin(maker.Recording, "text/event-stream");
        Task<string>[] readers = [.. Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            (RecordingReader reader, bool isNew) = Open(store, "a");
            Assert.False(isNew);
            StringBuilder got = new();
            while (true)
            {
                Task news = reader.Recording.News;
                bool ended = reader.Recording.HasEnded;
                ReadOnlyMemory<byte>[] segments = reader.Available();
                foreach (ReadOnlyMemory<byte> segment in segments)
                    got.Append(Encoding.UTF8.GetString(segment.Span));
                reader.Advance(segments.Length);
                if (ended)
                    return got.ToString();
                await news;
            }
        }))];
        for (int i = 0; i < 2000; i++)
            maker.Recording.Append(Encoding.UTF8.GetBytes($"data: {i}\n\n"));
        maker.Recording.End(null);
        string[] all = await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(20));
        Assert.All(all, text => Assert.Equal(Text(maker), text));
        Assert.Equal(2000, all[0].Split("\n\n").Length - 1);
    }

    /// <summary>Looks at a recording in the middle of its end, as a reader on another processor may.</summary>
    private sealed class EndClock : TimeProvider
    {
        public Action? OnLook { get; set; }

        public override DateTimeOffset GetUtcNow()
        {
            OnLook?.Invoke();
            return DateTimeOffset.UnixEpoch;
        }
    }

    [Fact]
    public async Task Who_looks_while_an_answer_fails_does_not_take_it_for_an_empty_one()
    {
        EndClock clock = new();
        RecordingStore store = new(new ReplayLimits(), clock, new ReplayMetrics(Metrics.WithCustomRegistry(Metrics.NewCustomRegistry())));
        using RecordingReader reader = Open(store, "a").Reader;
        Task? followed = null;
        clock.OnLook = () => followed ??= RecordingAnswer.FollowAsync(new DefaultHttpContext(), reader, clock, isReplay: true);
        reader.Recording.End(new InvalidOperationException("it failed"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => followed!.WaitAsync(TimeSpan.FromSeconds(20)));
    }
}
