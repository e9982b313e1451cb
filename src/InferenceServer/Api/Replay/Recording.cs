using System.Runtime.ExceptionServices;
using System.Text;

namespace InferenceServer.Api.Replay;

/// <summary>What a recording answers to.</summary>
/// <param name="Owner">Whose request it was: an API key's name.</param>
/// <param name="Path">Where it went.</param>
/// <param name="Key">Its idempotency key; null when it had none.</param>
/// <param name="BodyHash">SHA-256 of what was asked, as text.</param>
internal sealed record RecordingSubject(string Owner, string Path, string? Key, string BodyHash);

/// <summary>
/// One answer while it is made and for a while after: the bytes as the first reader got them, an event of a stream to a segment. Readers may join at any
/// segment. When the last one leaves, the making is cancelled, at once or after the time that was asked for. All state is guarded by the store's lock.
/// </summary>
internal sealed class Recording : IDisposable
{
    private readonly RecordingStore _store;
    private readonly TimeSpan _grace;
    private readonly List<byte[]> _segments = [];
    private readonly List<RecordingReader> _readers = [];
    private readonly CancellationTokenSource _cancel = new();
    private readonly MemoryStream _incomplete = new();
    private ITimer? _timer;
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _dropped;
    private bool _isStream;

    // Looked at without the lock: what they promise is written before them.
    private volatile bool _hasBegun;
    private volatile bool _hasEnded;

    public Recording(RecordingStore store, string id, RecordingSubject subject, TimeSpan grace)
    {
        (_store, Id, Subject, _grace) = (store, id, subject, grace);
        // Taken while the source lives: the maker may look at it after the end.
        Cancelled = _cancel.Token;
    }

    public string Id { get; }

    public RecordingSubject Subject { get; }

    /// <summary>Nobody waits for it any more.</summary>
    public CancellationToken Cancelled { get; }

    public int Status { get; private set; }

    public KeyValuePair<string, string>[] Headers { get; private set; } = [];

    /// <summary>Status and headers are known; they do not change any more.</summary>
    public bool HasBegun => _hasBegun;

    /// <summary>All is there that ever will be, or <see cref="Failure"/> says why not.</summary>
    public bool HasEnded => _hasEnded;

    /// <summary>Why the answer could not be made; null while it is, and when it was.</summary>
    public ExceptionDispatchInfo? Failure { get; private set; }

    /// <summary>What it takes in the store.</summary>
    public long Bytes { get; private set; }

    /// <summary>Whether the store knows it: one that became too large, failed or was cancelled is not found again.</summary>
    public bool IsKept { get; set; } = true;

    public DateTimeOffset EndedAt { get; private set; }

    public int ReaderCount => _readers.Count;

    /// <summary>A reader from a segment on; null when there never was such a one.</summary>
    public RecordingReader? Join(int segment)
    {
        lock (_store.Guard)
        {
            if (segment < _dropped || segment > _segments.Count + _dropped)
                return null;
            if (_timer is not null)
                StopWaiting("resumed");
            RecordingReader reader = new(this, segment);
            _readers.Add(reader);
            return reader;
        }
    }

    public void Leave(RecordingReader reader)
    {
        lock (_store.Guard)
        {
            if (!_readers.Remove(reader))
                return;
            if (_readers.Count > 0 || HasEnded)
                Trim();
            else if (_grace > TimeSpan.Zero && IsKept)
            {
                _store.Metrics.ReaderLeft();
                _timer = _store.Clock.CreateTimer(static recording => ((Recording)recording!).GiveUp(), this, _grace, Timeout.InfiniteTimeSpan);
            }
            else
                Cancel();
        }
    }

    /// <summary>Stops the making and forgets the answer.</summary>
    public void Cancel()
    {
        lock (_store.Guard)
        {
            _store.Forget(this);
            if (_timer is not null)
                StopWaiting("cancelled");
            if (!HasEnded)
                _ = _cancel.CancelAsync();
        }
    }

    /// <summary>Status and headers as they are sent.</summary>
    public void Begin(int status, IHeaderDictionary headers)
    {
        lock (_store.Guard)
        {
            if (HasBegun)
                return;
            Status = status;
            Headers = [.. headers.Select(header => KeyValuePair.Create(header.Key, header.Value.ToString()))];
            _isStream = headers.ContentType.ToString().StartsWith("text/event-stream", StringComparison.OrdinalIgnoreCase);
            _hasBegun = true;
            Announce();
        }
    }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return;
        lock (_store.Guard)
        {
            if (_isStream)
                AppendEvents(bytes);
            else
                Add(bytes.ToArray());
            Announce();
        }
    }

    /// <summary>The answer is whole, or will never be.</summary>
    /// <param name="failure">What every reader is told, as far as it can be told any more.</param>
    /// <param name="isGood">Whether it is worth keeping; failures and refusals never are.</param>
    public void End(Exception? failure, bool isGood = true)
    {
        lock (_store.Guard)
        {
            if (_incomplete.Length > 0)
                Add(_incomplete.ToArray());
            EndedAt = _store.Clock.GetUtcNow();
            Failure = failure is null ? null : ExceptionDispatchInfo.Capture(failure);
            _hasEnded = true;
            if (_timer is not null)
                StopWaiting("finished");
            // What failed is worth another try, and so is what this server could not take.
            if (failure is not null || !isGood || Status is < 200 or >= 300 || Cancelled.IsCancellationRequested)
                _store.Forget(this);
            else if (IsKept)
                _store.Keep(this);
            Announce();
        }
    }

    /// <summary>What is there from a place on; empty when nothing is yet.</summary>
    public ReadOnlyMemory<byte>[] From(int segment)
    {
        lock (_store.Guard)
        {
            ReadOnlyMemory<byte>[] found = new ReadOnlyMemory<byte>[_segments.Count + _dropped - segment];
            for (int i = 0; i < found.Length; i++)
                found[i] = _segments[segment - _dropped + i];
            return found;
        }
    }

    /// <summary>The reader has these.</summary>
    public void Passed()
    {
        lock (_store.Guard)
            Trim();
    }

    /// <summary>Completes once there may be more than before the call that looked.</summary>
    public Task News
    {
        get
        {
            lock (_store.Guard)
                return _news.Task;
        }
    }

    public void Dispose()
    {
        _timer?.Dispose();
        _cancel.Dispose();
        _incomplete.Dispose();
    }

    private void StopWaiting(string outcome)
    {
        _timer?.Dispose();
        _timer = null;
        _store.Metrics.WithoutReader(outcome);
    }

    private void GiveUp()
    {
        lock (_store.Guard)
        {
            if (_readers.Count > 0 || HasEnded || _timer is null)
                return;
            Cancel();
        }
    }

    /// <summary>Whole events, each with an id that says where a reader who has it goes on. Comments have none.</summary>
    private void AppendEvents(ReadOnlySpan<byte> bytes)
    {
        _incomplete.Write(bytes);
        ReadOnlySpan<byte> left = _incomplete.GetBuffer().AsSpan(0, (int)_incomplete.Length);
        while (left.IndexOf("\n\n"u8) is >= 0 and int end)
        {
            ReadOnlySpan<byte> whole = left[..(end + 2)];
            byte[] id = whole[0] == (byte)':' ? [] : Encoding.ASCII.GetBytes($"id: {Id}.{_segments.Count + _dropped + 1}\n");
            Add([.. id, .. whole]);
            left = left[(end + 2)..];
        }

        byte[] rest = left.ToArray();
        _incomplete.SetLength(0);
        _incomplete.Write(rest);
    }

    private void Add(byte[] segment)
    {
        _segments.Add(segment);
        Bytes += segment.Length;
        if (IsKept)
            _store.Grew(this, segment.Length);
        Trim();
    }

    /// <summary>What will not be found again is held only for those who read it.</summary>
    private void Trim()
    {
        if (IsKept || _readers.Count == 0)
            return;
        int passed = _readers.Min(reader => reader.Segment) - _dropped;
        _segments.RemoveRange(0, passed);
        _dropped += passed;
    }

    private void Announce()
    {
        TaskCompletionSource news = _news;
        _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
        news.SetResult();
    }
}

/// <summary>One client's place in a recording. Belongs to that client's task.</summary>
internal sealed class RecordingReader(Recording recording, int segment) : IDisposable
{
    public Recording Recording => recording;

    /// <summary>The next one to send.</summary>
    public int Segment { get; private set; } = segment;

    public ReadOnlyMemory<byte>[] Available() => recording.From(Segment);

    public void Advance(int segments)
    {
        Segment += segments;
        if (!recording.IsKept)
            recording.Passed();
    }

    public void Dispose() => recording.Leave(this);
}
