namespace InferenceServer.Library;

/// <summary>What kind of failure it is; a caller turns it into an exit code, a status or a metric's label.</summary>
public enum LibraryProblem
{
    /// <summary>The name, or another part of the request, is malformed.</summary>
    Invalid,

    /// <summary>Neither the library nor the hub has it.</summary>
    NotFound,

    /// <summary>The hub wants a token, or refuses the one it got.</summary>
    Unauthorized,

    /// <summary>The hub knows who asks, and refuses: its terms have not been accepted.</summary>
    Gated,

    /// <summary>The hub is busy and stayed so.</summary>
    Busy,

    /// <summary>The hub cannot be reached, breaks off, or answers nonsense.</summary>
    Unreachable,

    /// <summary>The library may not use the network.</summary>
    Offline,

    /// <summary>There is no room on the disk.</summary>
    DiskFull,

    /// <summary>The bytes are not those that were promised.</summary>
    WrongHash,

    /// <summary>The file changed at its source while it was fetched, more than once.</summary>
    Changed,

    /// <summary>It is no GGUF file that this server can use.</summary>
    BadFile,

    /// <summary>The library's folder cannot be read or written.</summary>
    Folder,
}

/// <summary>A failure that is the caller's or the world's: one line that says what is wrong, where, and what would be right.</summary>
public sealed class LibraryException(LibraryProblem problem, string message, Exception? inner = null) : Exception(message, inner)
{
    public LibraryProblem Problem { get; } = problem;

    /// <summary>A name that programs compare, also in metrics.</summary>
    public string Code => Problem switch
    {
        LibraryProblem.Invalid => "invalid_model",
        LibraryProblem.NotFound => "model_not_found",
        LibraryProblem.Unauthorized => "hub_unauthorized",
        LibraryProblem.Gated => "hub_gated",
        LibraryProblem.Busy => "hub_busy",
        LibraryProblem.Unreachable => "hub_unreachable",
        LibraryProblem.Offline => "offline",
        LibraryProblem.DiskFull => "disk_full",
        LibraryProblem.WrongHash => "wrong_hash",
        LibraryProblem.Changed => "file_changed",
        LibraryProblem.BadFile => "bad_file",
        _ => "library_unusable",
    };

    /// <summary>When to try again, where the hub said so.</summary>
    public TimeSpan? RetryAfter { get; init; }
}
