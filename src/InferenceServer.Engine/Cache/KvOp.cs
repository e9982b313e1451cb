// What the scheduler asks of the KV memory, as data: the decoder applies it, tests read it.

namespace InferenceServer.Engine.Cache;

internal enum KvOpKind
{
    /// <summary>Tag the cells of <c>[Start, End)</c> of Sequence with Target too. Where there are partial states Target has none afterwards.</summary>
    Copy,

    /// <summary>Take Sequence's tag off its cells in <c>[Start, End)</c>; a cell without a tag is free. A partial state that ends there goes too.</summary>
    Remove,

    /// <summary>Read Sequence's cells into Blob.</summary>
    Save,

    /// <summary>Write Blob into Sequence, which is empty before.</summary>
    Restore,

    /// <summary>Read Sequence's partial state, which stands for all its tokens so far, into Blob.</summary>
    SaveCheckpoint,

    /// <summary>Write Blob into Sequence, which has the cells of all tokens before it.</summary>
    RestoreCheckpoint,
}

/// <summary>One operation on the KV memory. End = <see cref="ToEnd"/> means all later positions.</summary>
internal readonly record struct KvOp(KvOpKind Kind, int Sequence, int Target, int Start, int End, KvBlob? Blob)
{
    public const int ToEnd = -1;

    public static KvOp Copy(int source, int target, int start, int end) => new(KvOpKind.Copy, source, target, start, end, null);

    public static KvOp Remove(int sequence, int start, int end = ToEnd) => new(KvOpKind.Remove, sequence, -1, start, end, null);

    public static KvOp Save(int sequence, KvBlob blob) => new(KvOpKind.Save, sequence, -1, blob.Start, blob.End, blob);

    public static KvOp SaveCheckpoint(int sequence, KvBlob blob) => new(KvOpKind.SaveCheckpoint, sequence, -1, blob.Start, blob.End, blob);

    public static KvOp RestoreCheckpoint(KvBlob blob, int sequence) => new(KvOpKind.RestoreCheckpoint, sequence, -1, blob.Start, blob.End, blob);

    public static KvOp Restore(KvBlob blob, int sequence) => new(KvOpKind.Restore, sequence, -1, blob.Start, blob.End, blob);
}
