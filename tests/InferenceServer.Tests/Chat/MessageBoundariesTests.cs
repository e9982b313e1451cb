using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Chat;

/// <summary>Where the engine is told to take checkpoints: a boundary past a message's end would be useless to the next turn.</summary>
public sealed class MessageBoundariesTests
{
    private static async Task<GenerationRequest> SubmitAsync(bool takesCheckpoints, string messages)
    {
        ScriptedEngine engine = new() { TakesCheckpoints = takesCheckpoints };
        await using TestHost host = await TestHost.StartAsync(engine);
        await host.PostJsonAsync("/v1/chat/completions", $$"""{"model":"scripted","messages":[{{messages}}]}""");
        Assert.True(engine.Submitted.TryDequeue(out Generation? generation));
        return generation.Request;
    }

    private static string Text(ReadOnlyMemory<int> tokens) => string.Concat(tokens.ToArray().Select(ScriptedVocabulary.Instance.Text));

    [Fact]
    public async Task A_boundary_is_where_the_text_so_far_is_the_beginning_of_the_whole()
    {
        GenerationRequest request = await SubmitAsync(true, """{"role":"system","content":"Be brief."},{"role":"user","content":"Gr\u00fc\u00df"}""");
        Assert.Equal(
            ["<|im_start|>system\nBe brief.<|im_end|>\n", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nGrüß<|im_end|>\n"],
            request.MessageBoundaries.Select(end => string.Concat(Text(request.PromptTokens[..end]))).Select(Decode));

        // The scripted vocabulary has a token for each byte, whose text alone is no character.
        static string Decode(string text) => text.Replace("\uFFFD\uFFFD\uFFFD\uFFFD", "üß", StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_long_history_costs_few_renderings()
    {
        string turns = string.Join(',', Enumerable.Range(0, 20).Select(i => $$"""{"role":"{{(i % 2 == 0 ? "user" : "assistant")}}","content":"message {{i}}"}"""));
        GenerationRequest request = await SubmitAsync(true, turns);
        Assert.Equal(["message 0", "message 16", "message 17", "message 18", "message 19"],
            request.MessageBoundaries.Select(end => Text(request.PromptTokens[..end]).Split('\n')[^2].Replace("<|im_end|>", "", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Models_that_need_none_are_given_none() =>
        Assert.Empty((await SubmitAsync(false, """{"role":"user","content":"Hi"}""")).MessageBoundaries);
}
