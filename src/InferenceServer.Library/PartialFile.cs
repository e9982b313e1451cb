using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace InferenceServer.Library;

/// <summary>
/// A file that is being fetched, and a journal of the ranges that are on the disk: a line each, appended after the disk has the bytes. Whoever reads it later takes the whole
/// lines and goes on. Safe from several connections; one process at a time.
/// </summary>
internal sealed class PartialFile : IDisposable
{
    private const int MaxJournalBytes = 16 << 20;

    private readonly Lock _gate = new();
    private readonly string _path;
    private readonly SafeFileHandle _data;
    private readonly FileStream _journal;
    private readonly List<(long Start, long End)> _done;

    private PartialFile(string path, long size, SafeFileHandle data, FileStream journal, List<(long Start, long End)> done, string? tag) =>
        (_path, Size, _data, _journal, _done, Tag) = (path, size, data, journal, done, tag);

    public long Size { get; }

    /// <summary>The ETag of the bytes that are here; null where the hub gives none that is strong.</summary>
    public string? Tag { get; private set; }

    public long Done
    {
        get
        {
            lock (_gate)
                return _done.Sum(range => range.End - range.Start);
        }
    }

    public static PartialFile Open(string path, long size)
    {
        (long knownSize, string? tag, List<(long Start, long End)> done) = ReadJournal(path);
        bool fits = knownSize == size && File.Exists(DataPath(path));
        if (!fits)
            (tag, done) = (null, []);
        SafeFileHandle data = File.OpenHandle(DataPath(path), fits ? FileMode.Open : FileMode.Create, FileAccess.ReadWrite, FileShare.Read, FileOptions.Asynchronous);
        try
        {
            if (RandomAccess.GetLength(data) != size)
                RandomAccess.SetLength(data, size);
            FileStream journal = new(JournalPath(path), fits ? FileMode.Append : FileMode.Create, FileAccess.Write, FileShare.Read, 1);
            PartialFile file = new(path, size, data, journal, done, tag);
            // A line that was torn off stays one of its own.
            file.Append(fits ? "" : string.Create(CultureInfo.InvariantCulture, $"size {size}"));
            return file;
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>As far as a journal says, whoever writes it.</summary>
    public static long DoneBytes(string path) => ReadJournal(path).Done.Sum(range => range.End - range.Start);

    /// <summary>What is missing, in order.</summary>
    public List<(long Start, long End)> Missing()
    {
        lock (_gate)
        {
            List<(long Start, long End)> missing = [];
            long at = 0;
            foreach ((long start, long end) in _done)
            {
                if (start > at)
                    missing.Add((at, start));
                at = end;
            }

            if (at < Size)
                missing.Add((at, Size));
            return missing;
        }
    }

    public void SetTag(string tag)
    {
        lock (_gate)
        {
            if (Tag is not null)
                return;
            Tag = tag;
            Append($"tag {tag}");
        }
    }

    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, long at, CancellationToken cancellation) => RandomAccess.WriteAsync(_data, bytes, at, cancellation);

    /// <summary>Has the disk keep what was written of a range, and notes it.</summary>
    public void Keep(long start, long end)
    {
        if (end <= start)
            return;
        // One at a time: each flush takes all that was written anyway.
        lock (_gate)
        {
            RandomAccess.FlushToDisk(_data);
            Append(string.Create(CultureInfo.InvariantCulture, $"done {start} {end - start}"));
            _done.Add((start, end));
            Merge(_done);
        }
    }

    /// <summary>Closes it, and gives it its final name.</summary>
    public void Commit(string path)
    {
        RandomAccess.FlushToDisk(_data);
        Dispose();
        File.Move(DataPath(_path), path, overwrite: true);
        File.Delete(JournalPath(_path));
    }

    /// <summary>Closes it, and forgets all of it.</summary>
    public void Discard()
    {
        Dispose();
        Delete(_path);
    }

    public static void Delete(string path)
    {
        File.Delete(JournalPath(path));
        File.Delete(DataPath(path));
    }

    public static string DataPath(string path) => path + ".data";

    public void Dispose()
    {
        _journal.Dispose();
        _data.Dispose();
    }

    private static string JournalPath(string path) => path + ".journal";

    private void Append(string line)
    {
        _journal.Write(Encoding.ASCII.GetBytes(line + "\n"));
        _journal.Flush();
    }

    private static (long Size, string? Tag, List<(long Start, long End)> Done) ReadJournal(string path)
    {
        long size = -1;
        string? tag = null;
        List<(long Start, long End)> done = [];
        if (!File.Exists(JournalPath(path)))
            return (size, tag, done);
        using FileStream journal = new(JournalPath(path), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        if (journal.Length > MaxJournalBytes)
            return (size, tag, done);
        byte[] bytes = new byte[journal.Length];
        string text = Encoding.ASCII.GetString(bytes, 0, journal.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false));
        // The last line counts only with its end.
        foreach (string line in text.Split('\n')[..^1])
        {
            string[] words = line.Split(' ', 2);
            if (words is ["size", var number] && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long known))
                size = known;
            else if (words is ["tag", var value])
                tag = value;
            else if (words is ["done", var range] && range.Split(' ') is [var from, var length] && long.TryParse(from, NumberStyles.None, CultureInfo.InvariantCulture, out long start)
                && long.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out long count) && count > 0 && start <= size - count)
                done.Add((start, start + count));
        }

        Merge(done);
        return (size, tag, done);
    }

    private static void Merge(List<(long Start, long End)> ranges)
    {
        ranges.Sort();
        for (int i = 1; i < ranges.Count;)
        {
            if (ranges[i].Start > ranges[i - 1].End)
            {
                i++;
                continue;
            }

            ranges[i - 1] = (ranges[i - 1].Start, Math.Max(ranges[i - 1].End, ranges[i].End));
            ranges.RemoveAt(i);
        }
    }
}
