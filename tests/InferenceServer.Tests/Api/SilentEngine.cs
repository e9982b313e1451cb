using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

/// <summary>An engine that says "x" only after the server has filled the silence with a sign of life.</summary>
internal sealed class SilentEngine
{
    private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public SilentEngine() => Engine = new ScriptedEngine
    {
        Script = async reply =>
        {
            await _release.Task;
            await reply.SayAsync("x");
        },
    };

    public ScriptedEngine Engine { get; }

    public FakeTimeProvider Clock { get; } = new(TestHost.Created);

    /// <summary>Lets time pass until the stream's first bytes come, and the reply after them.</summary>
    public async Task<HttpResponseMessage> AskAsync(TestHost host, string path, string body)
    {
        Task<HttpResponseMessage> asking = host.PostAsync(path, body);
        await Eventually.PassesUntilAsync(Clock, () => asking.IsCompleted);
        HttpResponseMessage answer = await asking;
        _release.SetResult();
        return answer;
    }
}
