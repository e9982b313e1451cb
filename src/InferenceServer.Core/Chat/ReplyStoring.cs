namespace InferenceServer.Chat;

/// <summary>The stage that keeps a reply: it passes events on, and holds back the choices' ends until all is stored. A client that saw one can rely on it.</summary>
internal sealed class ReplyStoring(IReplySource replies, int choices, Func<WholeReply[], Task> store) : IReplySource
{
    private readonly ReplyCollector _collector = new(choices);
    private readonly List<ReplyEvent> _read = [];
    private readonly List<ReplyEvent> _ends = [];

    public async ValueTask<bool> ReadAsync(List<ReplyEvent> into)
    {
        _read.Clear();
        bool open;
        try
        {
            open = await replies.ReadAsync(_read);
        }
        finally
        {
            foreach (ReplyEvent read in _read)
            {
                _collector.Add(read);
                (read.Kind == ReplyEventKind.Finish ? _ends : into).Add(read);
            }
        }

        if (open)
            return true;
        await store(_collector.Replies());
        into.AddRange(_ends.OrderBy(end => end.Choice));
        return false;
    }
}
