// Where the cells of the KV pool are. Decode thread only. Always: free + cached + pinned + private == total.

namespace InferenceServer.Engine.Cache;

/// <summary>Counts cells by owner. A cell is one token's keys and values in all layers.</summary>
internal sealed class CellLedger(int total)
{
    public int Total { get; } = total;

    /// <summary>In the tree, used by no running sequence: may be evicted.</summary>
    public int Cached { get; private set; }

    /// <summary>In the tree, under a running sequence.</summary>
    public int Pinned { get; private set; }

    /// <summary>Computed by a running sequence and not published yet, or promised to rows of the step being planned.</summary>
    public int Private { get; private set; }

    public int Free => Total - Cached - Pinned - Private;

    public void TakePrivate(int cells)
    {
        if (cells > Free)
            throw new InvalidOperationException($"{cells} cells wanted, {Free} free.");
        Private += cells;
    }

    public void FreePrivate(int cells) => Private = Checked(Private - cells);

    public void FreeCached(int cells) => Cached = Checked(Cached - cells);

    public void PublishPrivate(int cells)
    {
        Private = Checked(Private - cells);
        Pinned += cells;
    }

    public void Pin(int cells)
    {
        Cached = Checked(Cached - cells);
        Pinned += cells;
    }

    public void Unpin(int cells)
    {
        Pinned = Checked(Pinned - cells);
        Cached += cells;
    }

    private static int Checked(int cells) => cells >= 0 ? cells : throw new InvalidOperationException("More cells given back than were taken.");
}
