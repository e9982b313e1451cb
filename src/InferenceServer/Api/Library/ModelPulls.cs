using System.Threading.Channels;
using InferenceServer.Library;
using InferenceServer.Operations;

namespace InferenceServer.Api.Library;

/// <summary>
/// Pulls that requests have begun. Who asks for what is being fetched already joins it. When the last one who listens goes away the pull ends; what has come is kept, and the next
/// pull goes on from there.
/// </summary>
internal sealed partial class ModelPulls(LibraryAccess access, WebHostOptions options, ServerMetrics metrics, ILogger<ModelPulls> log)
{
    // Each has several connections, and the disk is one.
    private const int MostPulls = 4;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Pull> _running = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Begins a pull, or joins the one that runs. The caller disposes what it gets, and so stops listening.</summary>
    /// <exception cref="RequestProblem">Nobody may, or as many run as may.</exception>
    public PullListener Join(string model, string? name)
    {
        ModelLibrary library = access.ToChange();
        string reference = ModelReference.ParseRemote(model).ToString();
        string key = $"{reference}\n{(name is null ? "" : ModelName.Parse(name).ToString())}";
        lock (_gate)
        {
            if (!_running.TryGetValue(key, out Pull? pull))
            {
                if (_running.Count == MostPulls)
                    throw new RequestProblem(ProblemKind.Busy, $"{MostPulls} models are being fetched, as many as may be at once. Retry when one is done.", code: "too_many_pulls") { RetryAfter = TimeSpan.FromSeconds(30) };
                pull = new Pull();
                _running.Add(key, pull);
                pull.Task = Task.Run(() => RunAsync(pull, key, library, new PullRequest(reference, name, FreeMemory.Of(options.Devices()))));
            }

            PullListener listener = new(left =>
            {
                lock (_gate)
                {
                    pull.Listeners.Remove(left);
                    if (pull.Listeners.Count == 0)
                    {
                        // Who comes now begins anew, and waits for the files' locks until this one has let them go.
                        if (_running.GetValueOrDefault(key) == pull)
                            _running.Remove(key);
                        _ = pull.Stop.CancelAsync();
                    }
                }
            })
            { Result = pull.Task };
            pull.Listeners.Add(listener);
            if (pull.Last is { } last)
                listener.Report(last);
            return listener;
        }
    }

    private async Task<ModelManifest> RunAsync(Pull pull, string key, ModelLibrary library, PullRequest request)
    {
        long before = options.Clock.GetTimestamp();
        metrics.Pulls.Begins();
        string outcome = "failed";
        LogBegins(log, request.Model);
        try
        {
            ModelManifest manifest = await library.PullAsync(request, new Teller(this, pull), pull.Stop.Token);
            outcome = "done";
            double seconds = options.Clock.GetElapsedTime(before).TotalSeconds;
            LogDone(log, manifest.Name, manifest.SizeBytes, seconds);
            return manifest;
        }
        catch (OperationCanceledException) when (pull.Stop.IsCancellationRequested)
        {
            outcome = "cancelled";
            LogCancelled(log, request.Model);
            throw;
        }
        catch (LibraryException failure)
        {
            outcome = failure.Code;
            LogFailed(log, request.Model, failure.Message);
            throw;
        }
        finally
        {
            metrics.Pulls.Ended(outcome);
            lock (_gate)
            {
                if (_running.GetValueOrDefault(key) == pull)
                    _running.Remove(key);
                foreach (PullListener listener in pull.Listeners)
                    listener.Close();
            }
        }
    }

    private void Tell(Pull pull, PullProgress progress)
    {
        metrics.Pulls.Fetched(access.Library!.FetchedBytes);
        lock (_gate)
        {
            pull.Last = progress;
            foreach (PullListener listener in pull.Listeners)
                listener.Report(progress);
        }
    }

    [LoggerMessage(EventId = 150, Level = LogLevel.Information, Message = "Pull of {Model} begins")]
    private static partial void LogBegins(ILogger logger, string model);

    [LoggerMessage(EventId = 151, Level = LogLevel.Information, Message = "Pull is done: {Name}, {Bytes} bytes, {Seconds:0.0} s")]
    private static partial void LogDone(ILogger logger, string name, long bytes, double seconds);

    [LoggerMessage(EventId = 152, Level = LogLevel.Information, Message = "Pull of {Model} was called off; what has come is kept")]
    private static partial void LogCancelled(ILogger logger, string model);

    [LoggerMessage(EventId = 153, Level = LogLevel.Warning, Message = "Pull of {Model} failed: {Why}")]
    private static partial void LogFailed(ILogger logger, string model, string why);

    private sealed class Pull
    {
        public CancellationTokenSource Stop { get; } = new();

        public List<PullListener> Listeners { get; } = [];

        public Task<ModelManifest> Task { get; set; } = null!;

        public PullProgress? Last { get; set; }
    }

    private sealed class Teller(ModelPulls pulls, Pull pull) : IProgress<PullProgress>
    {
        public void Report(PullProgress value) => pulls.Tell(pull, value);
    }
}

/// <summary>One who listens to a pull.</summary>
internal sealed class PullListener(Action<PullListener> leave) : IProgress<PullProgress>, IDisposable
{
    // A client that reads slowly misses numbers, never the end.
    private readonly Channel<PullProgress> _heard = Channel.CreateBounded<PullProgress>(new BoundedChannelOptions(64) { FullMode = BoundedChannelFullMode.DropOldest });

    /// <summary>What comes of it.</summary>
    public required Task<ModelManifest> Result { get; set; }

    public ChannelReader<PullProgress> Progress => _heard.Reader;

    public void Report(PullProgress value) => _heard.Writer.TryWrite(value);

    /// <summary>Nothing more will be heard.</summary>
    public void Close() => _heard.Writer.TryComplete();

    public void Dispose() => leave(this);
}
