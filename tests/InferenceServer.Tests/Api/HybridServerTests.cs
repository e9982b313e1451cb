using System.Text.Json;

namespace InferenceServer.Tests.Api;

/// <summary>A model that goes on from checkpoints only, from HTTP down: the template's boundaries reach the engine, and the report says what came of it.</summary>
[Collection(nameof(RunsAlone))]
public sealed class HybridServerTests(HybridServer server) : IClassFixture<HybridServer>
{
    [Fact]
    public async Task A_growing_chat_finds_its_history_and_another_chat_the_system_prompt()
    {
        List<object> messages = [new { role = "system", content = string.Join(' ', Enumerable.Range(0, 60).Select(i => $"rule {i}.")) }];
        int prompts = 0, cached = 0;
        for (int turn = 0; turn < 8; turn++)
        {
            messages.Add(new { role = "user", content = $"What does rule {turn} say of the sea?" });
            JsonElement answer = await PostAsync(messages);
            prompts += answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32();
            cached += answer.GetProperty("x_cache").GetProperty("cached_tokens").GetInt32();
            // What the model said may not be text; a client would send it back as it came.
            messages.Add(new { role = "assistant", content = $"It says {turn}." });
        }
        Assert.True(cached >= 0.8 * prompts, $"only {cached} of {prompts} prompt tokens came from the cache");

        int system = server.Model.Vocabulary.TokenizeChat($"<|im_start|>system\n{((dynamic)messages[0]).content}<|im_end|>\n").Length;
        JsonElement other = (await PostAsync([messages[0], new { role = "user", content = "Who are you?" }])).GetProperty("x_cache");
        Assert.Equal((system, "last_checkpoint"), (other.GetProperty("cached_tokens").GetInt32(), other.GetProperty("reason").GetString()));
    }

    private async Task<JsonElement> PostAsync(IReadOnlyList<object> messages) => await server.Host.PostJsonAsync("/v1/chat/completions",
        JsonSerializer.Serialize(new { model = server.Model.Id, messages, max_tokens = 8, temperature = 0, x_cache_report = true }));
}
