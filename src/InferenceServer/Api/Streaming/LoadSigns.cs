namespace InferenceServer.Api.Streaming;

/// <summary>
/// Signs of life to a client whose stream waits for its model. The first comes after a while: until then a failure is a real HTTP status. After it the answer has
/// begun, and a failure is an event of the stream.
/// </summary>
/// <param name="contentType">Of the stream.</param>
/// <param name="sign">A sign that says what is waited for; it must mean nothing to those who do not look.</param>
internal sealed class LoadSigns(TimeProvider clock, string contentType, Func<string, byte[]> sign)
{
    // Long enough for what fails at once to fail as a status, short enough for somebody who looks at a screen.
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    /// <summary>Marks a request whose stream has shown signs.</summary>
    public static object Shown { get; } = new();

    /// <summary>Of streams of server-sent events: a comment.</summary>
    public static LoadSigns OfEvents(TimeProvider clock) => new(clock, EventStream.ServerSentEvents, state => System.Text.Encoding.UTF8.GetBytes($": {state}\n\n"));

    /// <summary>Waits for a load.</summary>
    /// <param name="describe">What is waited for, now.</param>
    public async Task<T> WhileAsync<T>(HttpContext http, Task<T> loading, Func<string?> describe)
    {
        while (true)
        {
            try
            {
                return await loading.WaitAsync(Interval, clock);
            }
            catch (TimeoutException) when (!loading.IsCompleted)
            {
                EventStream.Begin(http, contentType);
                http.Items[Shown] = true;
                await http.Response.BodyWriter.WriteAsync(sign(describe() ?? "waiting for the model"), http.RequestAborted);
            }
        }
    }
}
