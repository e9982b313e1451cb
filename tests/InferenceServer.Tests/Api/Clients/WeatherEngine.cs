using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>An engine that does what a tool round trip needs: it calls for the weather, tells it once a result is there, thinks, or never stops.</summary>
internal static class WeatherEngine
{
    public static ScriptedEngine Create() => new()
    {
        Script = async reply =>
        {
            string prompt = string.Concat(reply.Request.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text));
            if (prompt.Contains("forever", StringComparison.Ordinal))
            {
                await Eventually.HoldsAsync(() =>
                {
                    reply.Token("on ");
                    return reply.Cancelled;
                });
                reply.Finish(FinishReason.Cancelled);
            }
            else if (prompt.Contains("sunny in Rome", StringComparison.Ordinal))
                await reply.SayAsync("It is ", "sunny in", " Rome.");
            else if (prompt.Contains("think", StringComparison.Ordinal))
                await reply.SayAsync("<think>", "\nHm", ".\n</think>\n\n", "Well.");
            else
                await reply.SayAsync("<tool_call>\n{\"name\": ", "\"weather\", \"arguments\": ", "{\"city\": \"Rome\"}", "}\n</tool_call>");
        },
    };

    public static Task<TestHost> StartAsync(ScriptedEngine engine) => TestHost.StartAsync(engine,
        replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));

    /// <summary>Waits, within limits, until the one reply that would not end was cancelled.</summary>
    public static async Task CancelledAsync(ScriptedEngine engine)
    {
        await Eventually.HoldsAsync(() => engine.Submitted.Any(generation => generation.CancelRequested));
        Assert.Single(engine.Submitted, generation => generation.CancelRequested);
    }
}
