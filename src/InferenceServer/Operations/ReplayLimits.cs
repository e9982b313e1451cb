namespace InferenceServer.Operations;

/// <summary>How much of what was answered is kept for those who ask again.</summary>
internal sealed record ReplayLimits
{
    /// <summary>An answer of more is sent, but not kept.</summary>
    public long AnswerBytes { get; init; } = 8 << 20;

    /// <summary>Of all answers together; those that ended longest ago make room.</summary>
    public long TotalBytes { get; init; } = 64 << 20;

    /// <summary>Answers that have ended.</summary>
    public int Answers { get; init; } = 1024;

    /// <summary>After an answer's end.</summary>
    public TimeSpan KeepFor { get; init; } = TimeSpan.FromMinutes(10);
}
