using InferenceServer.Engine.Text;

namespace InferenceServer.Tests.Engine.Text;

public sealed class ThinkingWatchTests
{
    private static ThinkingWatch Watch(int tokens, bool isOpen = false, string open = "<think>") => new(new ThinkingLimit(tokens, open, "</think>", isOpen, new[] { 1 }));

    private static List<int> SpentAfter(ThinkingWatch watch, params string[] texts)
    {
        List<int> spent = [];
        for (int i = 0; i < texts.Length; i++)
        {
            watch.Take(texts[i]);
            if (watch.IsSpent)
                spent.Add(i);
        }
        return spent;
    }

    [Fact]
    public void Tokens_between_the_markers_count_however_those_are_cut()
    {
        Assert.Equal([4, 5], SpentAfter(Watch(3), "<th", "ink>", "a", "b", "c", "d</thi", "nk>", "x", "y"));
        Assert.Equal([2], SpentAfter(Watch(3, isOpen: true), "a", "", "c", "</think>", "x"));
        Assert.True(Watch(0, isOpen: true).IsSpent);
    }

    [Fact]
    public void A_draft_is_as_long_as_what_is_left_of_the_limit()
    {
        ThinkingWatch watch = Watch(3);
        List<int> most = [watch.MostDrafted];
        foreach (string text in (string[])["<think>", "a", "b", "c", "</think>"])
        {
            watch.Take(text);
            most.Add(watch.MostDrafted);
        }

        Assert.Equal([3, 2, 1, 0, -1, int.MaxValue], most);
    }

    [Fact]
    public void Thinking_that_ended_or_never_began_is_never_closed()
    {
        Assert.Empty(SpentAfter(Watch(2), "a", "<think>", "b", "c", "d"));
        Assert.Empty(SpentAfter(Watch(5), " \n<think>", "b", "</think>", "c", "d", "e", "f", "g", "<think>", "h", "i", "j", "k", "l", "m"));
        Assert.Empty(SpentAfter(Watch(0, open: ""), "a", "b"));
    }
}
