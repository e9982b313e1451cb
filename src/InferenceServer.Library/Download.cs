using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace InferenceServer.Library;

/// <summary>Fetches one file in several ranges at once, goes on where an earlier fetch ended, and lets nobody have it before its hash is the one that was promised.</summary>
internal sealed class Download(HubHttp http, LibraryFolder folder, LibraryOptions options, PullMeter meter)
{
    // A file that changes at its source is fetched anew so often.
    private const int MaxRestarts = 2;
    private const int BufferBytes = 128 << 10;

    // A slow connection brings little in this time, and one flush of the disk is little work.
    private static readonly TimeSpan JournalInterval = TimeSpan.FromSeconds(1);

    /// <summary>The file's bytes are not those of before.</summary>
    private sealed class ChangedException(string message) : Exception(message);

    /// <summary>The server sends whole files only.</summary>
    private sealed class RangesRefusedException : Exception;

    /// <summary>Puts the file in its place. The caller holds its lock.</summary>
    /// <exception cref="LibraryException">It cannot be had; what has come is kept, unless it was wrong.</exception>
    public async Task FetchAsync(RemoteFile file, CancellationToken cancellation)
    {
        if (file.LocalPath is { } local && await TakeAsync(local, file, cancellation))
            return;
        if (options.Offline)
            throw new LibraryException(LibraryProblem.Offline, $"{ModelName.Shown(file.Name)} is not in the library, and nothing is fetched: the network is turned off (--offline, or HF_HUB_OFFLINE)");
        string partial = folder.Partial(file.Sha256);
        for (int restarts = 0; ; restarts++)
        {
            PartialFile part = folder.Do(() => PartialFile.Open(partial, file.Size));
            using (part)
            {
                try
                {
                    meter.Begin(PullPhase.Downloading, file.Entry, part.Done, restarts > 0 ? "the file changed at its source while it was fetched: it is fetched anew" : null);
                    await FetchRangesAsync(file, part, cancellation);
                    string hash = await HashAsync(PartialFile.DataPath(partial), file.Entry, meter, cancellation);
                    if (hash == file.Sha256)
                    {
                        part.Commit(folder.Blob(file.Sha256));
                        meter.Finish(file.Entry);
                        return;
                    }

                    part.Discard();
                    throw new LibraryException(LibraryProblem.WrongHash,
                        $"{ModelName.Shown(file.Name)} came with the hash {hash}; {file.Sha256} was promised. It was deleted: pull again, and if that ends the same, its source is broken");
                }
                catch (ChangedException changed)
                {
                    part.Discard();
                    if (restarts == MaxRestarts)
                        throw new LibraryException(LibraryProblem.Changed, $"{ModelName.Shown(file.Name)} changes while it is fetched: {changed.Message}. Pull again later", changed);
                }
                catch (Exception error) when (error is IOException or UnauthorizedAccessException)
                {
                    throw folder.Failed(error);
                }
            }
        }
    }

    /// <summary>The hash of a file, with progress.</summary>
    public static async Task<string> HashAsync(string path, LibraryFile file, PullMeter meter, CancellationToken cancellation)
    {
        meter.Begin(PullPhase.Verifying, file, 0);
        await using FileStream data = new(path, new FileStreamOptions
        {
            Mode = FileMode.Open,
            Access = FileAccess.Read,
            Share = FileShare.ReadWrite | FileShare.Delete,
            Options = FileOptions.Asynchronous | FileOptions.SequentialScan,
            BufferSize = 0,
        });
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        while (await data.ReadAsync(buffer, cancellation) is > 0 and var count)
        {
            hash.AppendData(buffer, 0, count);
            meter.Add(count);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Takes a file of this machine, if it is what it should be.</summary>
    private async Task<bool> TakeAsync(string path, RemoteFile file, CancellationToken cancellation)
    {
        try
        {
            if (new FileInfo(path).Length != file.Size || await HashAsync(path, file.Entry, meter, cancellation) != file.Sha256)
                return false;
            LinkOrCopy(path, folder.Blob(file.Sha256), folder.Partial(file.Sha256) + ".copy", copy: false);
            meter.Finish(file.Entry);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>A second name where the disk has them; else a copy, which on some disks takes no space either. Whole or not at all.</summary>
    public static void LinkOrCopy(string from, string to, string temporary, bool copy)
    {
        File.Delete(temporary);
        string real = File.ResolveLinkTarget(from, returnFinalTarget: true)?.FullName ?? from;
        if (copy || !HardLink.TryCreate(real, temporary))
            File.Copy(real, temporary);
        File.Move(temporary, to, overwrite: true);
    }

    private async Task FetchRangesAsync(RemoteFile file, PartialFile part, CancellationToken cancellation)
    {
        RangeQueue queue = new(part.Missing(), options.Connections, options.SegmentBytes);
        Origin origin = new(file.Address);
        using CancellationTokenSource failed = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task[] connections = [.. Enumerable.Range(0, Math.Min(options.Connections, queue.Count)).Select(_ => FetchRangesAsync(file, part, queue, origin, failed))];
        try
        {
            await Task.WhenAll(connections);
            return;
        }
        catch (Exception) when (Cause(connections) is RangesRefusedException && !cancellation.IsCancellationRequested)
        {
            // Below.
        }
        catch (Exception) when (Cause(connections) is { } cause)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(cause);
        }

        await http.TryAsync(file.Name, async () =>
        {
            await FetchWholeAsync(file, part, cancellation);
            return true;
        }, cancellation);
    }

    /// <summary>The failure that ended the others; those only heard of it.</summary>
    private static Exception? Cause(Task[] connections) =>
        connections.Select(connection => connection.Exception?.InnerException).OfType<Exception>().OrderBy(error => error switch
        {
            ChangedException => 0,
            RangesRefusedException => 1,
            LibraryException => 2,
            // The disk's. What the network did to those that were called off says nothing.
            UnauthorizedAccessException or IOException { InnerException: null } and not HttpIOException => 3,
            _ => 4,
        }).FirstOrDefault();

    private async Task FetchRangesAsync(RemoteFile file, PartialFile part, RangeQueue queue, Origin origin, CancellationTokenSource failed)
    {
        try
        {
            while (queue.Take() is { } range)
                for (int tries = 1; range.Position < range.End; tries++)
                {
                    long before = range.Position;
                    try
                    {
                        await FetchRangeAsync(file, part, range, origin, failed.Token);
                    }
                    catch (Exception error) when (HubHttp.MayPass(error, failed.Token))
                    {
                        // What brings something forth may fail as often as it likes.
                        if (range.Position > before)
                            tries = 1;
                        origin.Forget();
                        await http.WaitAsync(file.Name, error, tries, failed.Token);
                    }
                }
        }
        catch
        {
            await failed.CancelAsync();
            throw;
        }
    }

    private async Task FetchRangeAsync(RemoteFile file, PartialFile part, FetchedRange range, Origin origin, CancellationToken cancellation)
    {
        Uri address = origin.Address;
        using HttpResponseMessage answer = await http.SendAsync(address, request =>
        {
            request.Headers.Range = new RangeHeaderValue(range.Position, range.End - 1);
            if (part.Tag is { } tag)
                request.Headers.TryAddWithoutValidation("If-Range", tag);
        }, cancellation);
        string? given = answer.Headers.ETag is { IsWeak: false } etag ? etag.Tag : null;
        switch (answer.StatusCode)
        {
            case HttpStatusCode.PartialContent:
                break;
            case HttpStatusCode.OK when given is not null && part.Tag is { } known && given != known:
                throw new ChangedException($"its ETag was {ModelName.Shown(known)} and is {ModelName.Shown(given)}");
            case HttpStatusCode.OK:
                throw new RangesRefusedException();
            case HttpStatusCode.RequestedRangeNotSatisfiable:
                throw new ChangedException($"it no longer has {file.Size} bytes");
            // An address that a hub has signed ends; the hub gives another.
            case HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden or HttpStatusCode.NotFound or HttpStatusCode.Gone when origin.IsRedirected:
                throw new HttpIOException(HttpRequestError.InvalidResponse, $"{address.Host} answered {(int)answer.StatusCode}");
            default:
                throw http.Refused(answer, ModelName.Shown(file.Name));
        }

        ContentRangeHeaderValue? sent = answer.Content.Headers.ContentRange;
        if (sent?.From != range.Position)
            throw new HttpIOException(HttpRequestError.InvalidResponse, $"{address.Host} sent other bytes than it was asked for");
        if (sent.Length is { } length && length != file.Size)
            throw new ChangedException(string.Create(CultureInfo.InvariantCulture, $"it has {length} bytes, and should have {file.Size}"));
        if (part.Tag is { } before && given is not null && given != before)
            throw new ChangedException($"its ETag was {ModelName.Shown(before)} and is {ModelName.Shown(given)}");
        if (given is not null)
            part.SetTag(given);
        origin.Found(answer.RequestMessage!.RequestUri!);

        await using Stream body = await answer.Content.ReadAsStreamAsync(cancellation);
        byte[] buffer = new byte[BufferBytes];
        long kept = range.Position, keptAt = options.Clock.GetTimestamp();
        try
        {
            // Another connection may have taken the end of it.
            while (range.Position < range.End)
            {
                int most = (int)Math.Min(buffer.Length, range.End - range.Position);
                int count = await http.BoundedAsync(limited => body.ReadAsync(buffer.AsMemory(0, most), limited).AsTask(), cancellation);
                if (count == 0)
                    throw new HttpIOException(HttpRequestError.ResponseEnded, $"{address.Host} broke off");
                await part.WriteAsync(buffer.AsMemory(0, count), range.Position, cancellation);
                range.Advance(count);
                meter.Add(count);
                if (range.Position - kept < options.JournalBytes && options.Clock.GetElapsedTime(keptAt) < JournalInterval)
                    continue;
                part.Keep(kept, range.Position);
                (kept, keptAt) = (range.Position, options.Clock.GetTimestamp());
            }
        }
        finally
        {
            part.Keep(kept, range.Position);
        }
    }

    /// <summary>From the first byte to the last in one go, from a server that knows no ranges. What is cut begins again.</summary>
    private async Task FetchWholeAsync(RemoteFile file, PartialFile part, CancellationToken cancellation)
    {
        using HttpResponseMessage answer = await http.SendAsync(file.Address, _ => { }, cancellation);
        if (answer.StatusCode != HttpStatusCode.OK)
            throw http.Refused(answer, ModelName.Shown(file.Name));
        if (answer.Content.Headers.ContentLength is { } length && length != file.Size)
            throw new ChangedException(string.Create(CultureInfo.InvariantCulture, $"it has {length} bytes, and should have {file.Size}"));
        meter.Begin(PullPhase.Downloading, file.Entry, 0, $"{answer.RequestMessage!.RequestUri!.Host} sends whole files only: one connection, which cannot go on where it ended");
        await using Stream body = await answer.Content.ReadAsStreamAsync(cancellation);
        byte[] buffer = new byte[BufferBytes];
        for (long at = 0; at < file.Size;)
        {
            int count = await http.BoundedAsync(limited => body.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, file.Size - at)), limited).AsTask(), cancellation);
            if (count == 0)
                throw new HttpIOException(HttpRequestError.ResponseEnded, "the connection broke off");
            await part.WriteAsync(buffer.AsMemory(0, count), at, cancellation);
            at += count;
            meter.Add(count);
        }

        part.Keep(0, file.Size);
    }

    /// <summary>Where the bytes come from: the hub's own address, or the one it led to, which it need not be asked for again with each range.</summary>
    private sealed class Origin(Uri address)
    {
        private volatile Uri? _redirected;

        public Uri Address => _redirected ?? address;

        public bool IsRedirected => _redirected is not null;

        public void Found(Uri found)
        {
            if (found != address)
                _redirected = found;
        }

        public void Forget() => _redirected = null;
    }
}

/// <summary>A range that a connection fetches; another may shorten it.</summary>
internal sealed class FetchedRange(long start, long end)
{
    private long _position = start;
    private long _end = end;

    public long Position => Volatile.Read(ref _position);

    public long End => Volatile.Read(ref _end);

    public void Advance(int count) => Volatile.Write(ref _position, _position + count);

    /// <summary>Gives its end away; whoever fetches it may have read some of that already, which is then fetched twice.</summary>
    public void Shorten(long end) => Volatile.Write(ref _end, end);
}

/// <summary>What is missing of a file, shared out: equal pieces first, then halves of the longest that still runs.</summary>
internal sealed class RangeQueue
{
    private readonly Lock _gate = new();
    private readonly Queue<FetchedRange> _waiting;
    private readonly List<FetchedRange> _running = [];
    private readonly long _least;

    public RangeQueue(IReadOnlyList<(long Start, long End)> missing, int connections, long least)
    {
        _least = least;
        long piece = Math.Max(least, (missing.Sum(range => range.End - range.Start) + connections - 1) / connections);
        _waiting = new(missing.SelectMany(range => Cut(range, piece)));
    }

    public int Count => _waiting.Count;

    /// <summary>Null when there is nothing left to do.</summary>
    public FetchedRange? Take()
    {
        lock (_gate)
        {
            if (!_waiting.TryDequeue(out FetchedRange? next))
            {
                FetchedRange? longest = _running.MaxBy(range => range.End - range.Position);
                if (longest is null || longest.End - longest.Position < 2 * _least)
                    return null;
                long end = longest.End, middle = end - ((end - longest.Position) / 2);
                longest.Shorten(middle);
                next = new FetchedRange(middle, end);
            }

            _running.Add(next);
            return next;
        }
    }

    private static IEnumerable<FetchedRange> Cut((long Start, long End) range, long piece)
    {
        for (long start = range.Start; start < range.End; start += piece)
            yield return new FetchedRange(start, Math.Min(start + piece, range.End));
    }
}
