using InferenceServer.Commands;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Operations;

public sealed class LoadBarTests : IDisposable
{
    private readonly FakeTimeProvider _clock = new();
    private readonly StringWriter _text = new();

    public void Dispose() => _text.Dispose();

    [Fact]
    public void A_load_that_takes_long_shows_how_far_it_is_and_leaves_nothing_behind()
    {
        LoadBar bar = new(_text, isTerminal: true, _clock);
        bar.Report(0.1f);
        Assert.Empty(_text.ToString());
        _clock.Advance(TimeSpan.FromSeconds(2));
        bar.Report(0.5f);
        bar.Report(0.501f);
        Assert.Equal("\rloading  [###############...............]  50%\u001b[K", _text.ToString());
        bar.End();
        Assert.EndsWith("\r\u001b[K", _text.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_written_where_stderr_is_no_terminal()
    {
        LoadBar bar = new(_text, isTerminal: false, _clock);
        _clock.Advance(TimeSpan.FromSeconds(2));
        bar.Report(0.5f);
        bar.End();
        Assert.Empty(_text.ToString());
    }
}
