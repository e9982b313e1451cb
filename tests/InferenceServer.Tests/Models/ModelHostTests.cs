using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Tests.Api;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Models;

/// <summary>Models that share a room, with loads that end when the test says so and a clock that it moves.</summary>
public sealed class ModelHostTests
{
    private const long Unit = 1_000;

    private sealed class Stage
    {
        private readonly Dictionary<string, long> _sizes = new(StringComparer.OrdinalIgnoreCase) { ["a"] = Unit, ["b"] = Unit, ["c"] = Unit, ["huge"] = 100 * Unit };

        public Stage(long room, int maxWaiting = 100) => Host = new ModelHost(
            new ModelHostOptions { Room = room, KeepAlive = TimeSpan.FromMinutes(5), MaxWaiting = maxWaiting, WaitLimit = TimeSpan.FromMinutes(10) }, Find, Clock, NullLogger.Instance);

        public FakeTimeProvider Clock { get; } = new();

        public ModelHost Host { get; }

        public List<string> Log { get; } = [];

        public Dictionary<string, ScriptedEngine> Engines { get; } = [];

        public Func<string, Task> Loading { get; set; } = _ => Task.CompletedTask;

        /// <summary>What is said of a model besides its size.</summary>
        public Func<LoadableModel, LoadableModel> Says { get; set; } = model => model;

        private LoadableModel? Find(string name) => !_sizes.TryGetValue(name, out long bytes) ? null : Says(new LoadableModel(name.ToLowerInvariant(), () => bytes, async (_, _) =>
        {
            string id = name.ToLowerInvariant();
            await Loading(id);
            lock (Log)
                Log.Add($"+{id}");
            Engines[id] = new ScriptedEngine();
            return new HostedModel(TestHost.Served(Engines[id]) with { Id = id }, null, bytes, () =>
            {
                lock (Log)
                    Log.Add($"-{id}");
                return ValueTask.CompletedTask;
            });
        }));

        public void Forget(string name) => _sizes.Remove(name);

        public async Task<ModelHost.Lease> UseAsync(string name) => (await Host.UseAsync(name, null, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20)))!;

        public async Task TouchAsync(string name) => (await UseAsync(name)).Dispose();

        /// <summary>Until the host has done what it does by itself.</summary>
        public Task LogIsAsync(params string[] log)
        {
            bool IsSo()
            {
                lock (Log)
                    return Log.SequenceEqual(log);
            }
            return Eventually.HoldsAsync(IsSo, string.Join(' ', log));
        }
    }

    [Fact]
    public async Task A_model_is_loaded_once_for_all_who_ask_and_by_any_spelling()
    {
        Stage stage = new(10 * Unit);
        TaskCompletionSource gate = new();
        stage.Loading = _ => gate.Task;
        Task<ModelHost.Lease>[] all = [.. ((string[])["a", "A", "a"]).Select(stage.UseAsync)];
        Assert.Equal("loading", Assert.Single(stage.Host.Status).State);
        gate.SetResult();
        ModelHost.Lease[] leases = await Task.WhenAll(all);
        Assert.Single(leases.Select(lease => lease.Hosted.Chat).Distinct());
        await stage.LogIsAsync("+a");
        Assert.Null(await stage.Host.UseAsync("unknown", null, CancellationToken.None));
    }

    [Fact]
    public async Task The_least_recently_used_one_that_is_idle_makes_room_and_a_busy_one_never()
    {
        Stage stage = new(2 * Unit);
        ModelHost.Lease busy = await stage.UseAsync("a");
        await stage.TouchAsync("b");
        stage.Clock.Advance(TimeSpan.FromMinutes(1));
        await stage.TouchAsync("c");
        await stage.LogIsAsync("+a", "+b", "-b", "+c");
        stage.Clock.Advance(TimeSpan.FromMinutes(1));
        await stage.TouchAsync("b");
        await stage.LogIsAsync("+a", "+b", "-b", "+c", "-c", "+b");
        busy.Dispose();
    }

    [Fact]
    public async Task Work_that_goes_on_without_a_lease_counts_as_use()
    {
        Stage stage = new(2 * Unit);
        await stage.TouchAsync("a");
        stage.Engines["a"].Snapshot = EngineSnapshot.Empty with { RunningRequests = 1 };
        stage.Clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal(["+a"], stage.Log);
        stage.Engines["a"].Snapshot = EngineSnapshot.Empty;
        stage.Clock.Advance(TimeSpan.FromSeconds(2));
        await stage.LogIsAsync("+a", "-a");
    }

    [Fact]
    public async Task Two_that_do_not_fit_together_take_turns_of_a_least_length()
    {
        Stage stage = new(Unit);
        ModelHost.Lease first = await stage.UseAsync("a");
        Task<ModelHost.Lease> other = stage.UseAsync("b");
        // Its stay has only begun: others may still have it.
        (await stage.UseAsync("a")).Dispose();
        Assert.False(other.IsCompleted);
        stage.Clock.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal("making-room", Assert.Single(stage.Host.Status).State);
        // Who comes now waits behind the other model's turn.
        Task<ModelHost.Lease> late = stage.UseAsync("a");
        Assert.False(late.IsCompleted);
        first.Dispose();
        ModelHost.Lease second = await other;
        await stage.LogIsAsync("+a", "-a", "+b");
        Assert.False(late.IsCompleted);
        second.Dispose();
        stage.Clock.Advance(TimeSpan.FromSeconds(6));
        (await late).Dispose();
        await stage.LogIsAsync("+a", "-a", "+b", "-b", "+a");
    }

    [Fact]
    public async Task A_pinned_model_stays_and_who_needs_its_room_is_told_so()
    {
        Stage stage = new(2 * Unit) { Says = model => model.Id == "a" ? model with { IsPinned = true } : model };
        await stage.TouchAsync("a");
        await stage.TouchAsync("b");
        stage.Clock.Advance(TimeSpan.FromSeconds(6));
        await stage.TouchAsync("c");
        await stage.LogIsAsync("+a", "+b", "-b", "+c");
        stage.Clock.Advance(TimeSpan.FromDays(1));
        await stage.LogIsAsync("+a", "+b", "-b", "+c", "-c");
        Assert.True(Assert.Single(stage.Host.Status).IsPinned);
        stage.Says = model => model with { IsPinned = model.Id == "a", LeastBytes = () => 2 * Unit };
        RequestProblem told = await Assert.ThrowsAsync<RequestProblem>(() => stage.UseAsync("b"));
        Assert.Contains("pinned ones take", told.Message, StringComparison.Ordinal);
        // Without its pin it is as others are.
        stage.Says = model => model;
        stage.Host.Reconsider();
        stage.Clock.Advance(TimeSpan.FromMinutes(6));
        await stage.LogIsAsync("+a", "+b", "-b", "+c", "-c", "-a");
    }

    [Fact]
    public async Task A_model_that_was_changed_is_loaded_anew_once_nobody_uses_it()
    {
        Stage stage = new(10 * Unit);
        ModelHost.Lease old = await stage.UseAsync("a");
        stage.Says = model => model with { Version = "2" };
        stage.Host.Reconsider();
        Task<ModelHost.Lease> changed = stage.UseAsync("a");
        Assert.False(changed.IsCompleted);
        Assert.Contains("number 1 of 1", stage.Host.Describe("a"), StringComparison.Ordinal);
        await stage.LogIsAsync("+a");
        old.Dispose();
        (await changed.WaitAsync(TimeSpan.FromSeconds(20))).Dispose();
        await stage.LogIsAsync("+a", "-a", "+a");
    }

    [Fact]
    public async Task A_model_that_makes_room_for_one_who_goes_away_serves_those_behind_without_a_load()
    {
        Stage stage = new(Unit);
        ModelHost.Lease busy = await stage.UseAsync("a");
        using CancellationTokenSource gone = new();
        Task<ModelHost.Lease?> other = stage.Host.UseAsync("b", null, gone.Token);
        stage.Clock.Advance(TimeSpan.FromSeconds(6));
        Task<ModelHost.Lease> late = stage.UseAsync("a");
        Assert.False(late.IsCompleted);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => other);
        (await late).Dispose();
        busy.Dispose();
        await stage.LogIsAsync("+a");
    }

    [Fact]
    public async Task A_model_that_is_no_longer_named_leaves_when_it_is_idle()
    {
        Stage stage = new(10 * Unit);
        ModelHost.Lease held = await stage.UseAsync("a");
        stage.Forget("a");
        stage.Host.Reconsider();
        await stage.LogIsAsync("+a");
        held.Dispose();
        await stage.LogIsAsync("+a", "-a");
    }

    [Fact]
    public async Task A_size_that_cannot_be_read_fails_the_requests_for_it_alone()
    {
        Stage stage = new(10 * Unit) { Says = model => model.Id == "b" ? model with { LeastBytes = () => throw new IOException("the disk is gone") } : model };
        RequestProblem told = await Assert.ThrowsAsync<RequestProblem>(() => stage.UseAsync("b"));
        Assert.Contains("the disk is gone", told.Message, StringComparison.Ordinal);
        await stage.TouchAsync("a");
        Assert.Equal(1, stage.Host.FailedLoads);
    }

    [Fact]
    public async Task An_idle_model_leaves_after_its_time_which_a_request_may_set()
    {
        Stage stage = new(10 * Unit);
        await stage.TouchAsync("a");
        (await stage.Host.UseAsync("b", Timeout.InfiniteTimeSpan, CancellationToken.None))!.Dispose();
        (await stage.Host.UseAsync("c", TimeSpan.FromSeconds(10), CancellationToken.None))!.Dispose();
        stage.Clock.Advance(TimeSpan.FromSeconds(11));
        await stage.LogIsAsync("+a", "+b", "+c", "-c");
        stage.Clock.Advance(TimeSpan.FromMinutes(5));
        await stage.LogIsAsync("+a", "+b", "+c", "-c", "-a");
        stage.Clock.Advance(TimeSpan.FromDays(30));
        Assert.Equal(["b"], stage.Host.Loaded.Select(hosted => hosted.Chat!.Id));
        Assert.True(stage.Host.Expire("b"));
        await stage.LogIsAsync("+a", "+b", "+c", "-c", "-a", "-b");
        Assert.False(stage.Host.Expire("unknown"));
    }

    [Fact]
    public async Task A_load_that_fails_tells_its_own_requests_and_no_others()
    {
        TaskCompletionSource gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Stage stage = new(10 * Unit)
        {
            Loading = async id =>
            {
                await gate.Task;
                if (id == "a")
                    throw new InvalidOperationException("its file is cut off");
            },
        };
        Task<ModelHost.Lease>[] failing = [stage.UseAsync("a"), stage.UseAsync("a")];
        Task<ModelHost.Lease> other = stage.UseAsync("b");
        gate.SetResult();
        foreach (Task<ModelHost.Lease> task in failing)
        {
            RequestProblem problem = await Assert.ThrowsAsync<RequestProblem>(() => task);
            Assert.Equal((ProblemKind.Unavailable, "model_load_failed"), (problem.Kind, problem.Code));
            Assert.Contains("its file is cut off", problem.Message, StringComparison.Ordinal);
        }
        (await other).Dispose();
        Assert.Equal((1, 1), (stage.Host.Loads, stage.Host.FailedLoads));
        stage.Loading = _ => Task.CompletedTask;
        await stage.TouchAsync("a");
    }

    [Fact]
    public async Task What_can_never_fit_is_refused_at_once_and_waiting_has_limits()
    {
        Stage stage = new(Unit, maxWaiting: 2);
        RequestProblem huge = await Assert.ThrowsAsync<RequestProblem>(() => stage.UseAsync("huge"));
        Assert.Equal("model_too_large", huge.Code);
        using ModelHost.Lease busy = await stage.UseAsync("a");
        using CancellationTokenSource gone = new();
        Task<ModelHost.Lease?> cancelled = stage.Host.UseAsync("b", null, gone.Token);
        Task<ModelHost.Lease> waits = stage.UseAsync("c");
        RequestProblem full = await Assert.ThrowsAsync<RequestProblem>(() => stage.UseAsync("b"));
        Assert.Equal((ProblemKind.Busy, "model_queue_full"), (full.Kind, full.Code));
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        Assert.Equal(1, stage.Host.Waiting);
        stage.Clock.Advance(TimeSpan.FromMinutes(11));
        RequestProblem late = await Assert.ThrowsAsync<RequestProblem>(() => waits);
        Assert.Equal("model_not_ready", late.Code);
        Assert.Contains("number 1", late.Message, StringComparison.Ordinal);
        // Nobody wants its room any more: it goes on as before.
        (await stage.UseAsync("a")).Dispose();
        Assert.Equal(["+a"], stage.Log);
    }

    [Fact]
    public async Task Stopping_ends_who_waits_and_unloads_all()
    {
        Stage stage = new(Unit);
        await stage.TouchAsync("a");
        TaskCompletionSource gate = new();
        stage.Loading = _ => gate.Task;
        using ModelHost.Lease held = await stage.UseAsync("a");
        Task<ModelHost.Lease> waits = stage.UseAsync("b");
        await stage.Host.DisposeAsync();
        await Assert.ThrowsAsync<RequestProblem>(() => waits);
        Assert.Equal(["+a", "-a"], stage.Log);
    }
}
