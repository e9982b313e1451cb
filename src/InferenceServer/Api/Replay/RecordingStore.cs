using System.Buffers.Text;
using System.Security.Cryptography;
using InferenceServer.Operations;

namespace InferenceServer.Api.Replay;

/// <summary>The answers that may be asked for again. Bounded in bytes, number and time; safe from any thread, under one lock that guards its recordings, too.</summary>
internal sealed class RecordingStore(ReplayLimits limits, TimeProvider clock, ReplayMetrics metrics)
{
    private readonly Dictionary<(string Owner, string Path, string Key), Recording> _byKey = [];
    private readonly Dictionary<string, Recording> _byId = [];
    private readonly LinkedList<Recording> _ended = [];
    private long _bytes;

    // Reentrant: a recording and its store call each other.
    public Lock Guard { get; } = new();

    public TimeProvider Clock => clock;

    public ReplayMetrics Metrics => metrics;

    /// <summary>The answer to this request: a new one to be made, or the one that was made or is being made. Joined before anything can end it.</summary>
    /// <exception cref="RequestProblem">422: the key belongs to another request. 404: what was to be resumed is not there.</exception>
    public (RecordingReader Reader, bool IsNew) Open(ReplayRequest asked, RecordingSubject subject)
    {
        lock (Guard)
        {
            DropOld();
            Recording? known = asked.After is { } after ? Find(subject.Owner, after.StreamId)
                : asked.Key is { } key ? _byKey.GetValueOrDefault((subject.Owner, subject.Path, key)) : null;
            if (known is null && asked.After is not null)
                throw NotFound();
            if (known is null)
                return (Start(asked, subject).Join(0)!, true);
            if (known.Subject.BodyHash != subject.BodyHash || known.Subject.Path != subject.Path || (asked.Key ?? known.Subject.Key) != known.Subject.Key)
            {
                Metrics.Answered("refused");
                throw new RequestProblem(ProblemKind.Conflict, "This key was used with another body before; a retry sends the same bytes, a new request a new key.", asked.After is null ? ReplayRequest.KeyHeader : ReplayRequest.LastEventHeader, "idempotency_key_reused");
            }

            return (Join(known, asked.After), false);
        }
    }

    /// <summary>A reader of a recording by its id.</summary>
    /// <exception cref="RequestProblem">404: there is none, or it is another key's.</exception>
    public RecordingReader Open(string owner, string id, StreamPosition? after)
    {
        lock (Guard)
        {
            DropOld();
            if (after is { } position && position.StreamId != id)
                throw NotFound();
            return Join(Find(owner, id) ?? throw NotFound(), after);
        }
    }

    /// <summary>Cancels what is being made and forgets what was.</summary>
    /// <exception cref="RequestProblem">404, as above.</exception>
    public void Delete(string owner, string id)
    {
        lock (Guard)
        {
            DropOld();
            (Find(owner, id) ?? throw NotFound()).Cancel();
        }
    }

    /// <summary>A recording has more bytes. It may be forgotten for that.</summary>
    public void Grew(Recording recording, int bytes)
    {
        _bytes += bytes;
        while (_bytes > limits.TotalBytes && _ended.First is { } oldest)
            Forget(oldest.Value);
        if (recording.Bytes > limits.AnswerBytes || _bytes > limits.TotalBytes)
        {
            Forget(recording);
            if (recording.ReaderCount == 0)
                recording.Cancel();
        }

        Metrics.Holds(_byId.Count, _bytes);
    }

    /// <summary>A whole answer stays for a while.</summary>
    public void Keep(Recording recording)
    {
        _ended.AddLast(recording);
        while (_ended.Count > limits.Answers)
            Forget(_ended.First!.Value);
        DropOld();
    }

    /// <summary>It is not found again; those who read it go on.</summary>
    public void Forget(Recording recording)
    {
        if (!recording.IsKept)
            return;
        recording.IsKept = false;
        _bytes -= recording.Bytes;
        _byId.Remove(recording.Id);
        _ended.Remove(recording);
        if (recording.Subject is { Key: { } key } subject)
            _byKey.Remove((subject.Owner, subject.Path, key));
        Metrics.Holds(_byId.Count, _bytes);
    }

    private Recording Start(ReplayRequest asked, RecordingSubject subject)
    {
        Recording recording = new(this, Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(12)), subject, asked.Grace);
        _byId.Add(recording.Id, recording);
        if (asked.Key is { } key)
            _byKey.Add((subject.Owner, subject.Path, key), recording);
        Metrics.Holds(_byId.Count, _bytes);
        return recording;
    }

    private RecordingReader Join(Recording known, StreamPosition? after)
    {
        RecordingReader reader = known.Join(after?.Segment ?? 0) ?? throw NotFound();
        Metrics.Answered(after is not null ? "resumed" : known.HasEnded ? "replayed" : "joined");
        return reader;
    }

    private Recording? Find(string owner, string id) => _byId.GetValueOrDefault(id) is { } found && found.Subject.Owner == owner ? found : null;

    private RequestProblem NotFound()
    {
        Metrics.Answered("lost");
        return new(ProblemKind.NotFound,
            "There is no such stream any more: it was not kept, has expired, or its generation ended when nobody read it. Start over without Last-Event-ID.", null, "stream_not_found");
    }

    private void DropOld()
    {
        DateTimeOffset before = clock.GetUtcNow() - limits.KeepFor;
        while (_ended.First is { } oldest && oldest.Value.EndedAt <= before)
            Forget(oldest.Value);
    }
}
