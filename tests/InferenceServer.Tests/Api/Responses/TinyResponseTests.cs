using System.Text;
using System.Text.Json;
using InferenceServer.Models;
using InferenceServer.Tests.Spec;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>A real engine behind the Responses API: a stored conversation's next turn finds the last one in the KV cache.</summary>
[Collection(nameof(RunsAlone))]
public sealed class TinyResponseTests(TinyServer server) : IClassFixture<TinyServer>
{
    private static async Task<JsonElement> PostAsync(TestHost host, string path, object body)
    {
        using StringContent content = new(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await host.Client.PostAsync(new Uri(path, UriKind.Relative), content);
        JsonElement json = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        Assert.True(answer.IsSuccessStatusCode, json.GetRawText());
        OpenAISpec.CheckAnswer(json);
        return json;
    }

    private static (int Input, int Cached) Tokens(JsonElement response) => (response.GetProperty("usage").GetProperty("input_tokens").GetInt32(),
        response.GetProperty("usage").GetProperty("input_tokens_details").GetProperty("cached_tokens").GetInt32());

    [Fact]
    public async Task The_next_turn_of_a_stored_conversation_computes_only_what_is_new()
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(server.Model, store: store.Store);
        string model = server.Model.Id, conversation = (await PostAsync(host, "/v1/conversations", new { })).GetProperty("id").GetString()!;
        // Replies of plain letters: what the tiny random model would say need not survive the way through text and back.
        JsonElement chained = await PostAsync(host, "/v1/responses",
            new { model, input = "Please tell me about number 17, at some length, and leave nothing out.", regex = "[a-z]{40}", timing = true });
        JsonElement conversed = await PostAsync(host, "/v1/responses",
            new { model, input = "Now sing of the river, the boat, the reeds and the moon above them.", conversation, regex = "[a-z]{40}" });
        Assert.True(chained.GetProperty("timing").GetProperty("prefill_ms").GetDouble() > 0);

        Check(chained, await PostAsync(host, "/v1/responses", new { model, input = "And then?", previous_response_id = chained.GetProperty("id").GetString(), max_output_tokens = 4 }));
        Check(conversed, await PostAsync(host, "/v1/responses", new { model, input = "And then?", conversation, max_output_tokens = 4 }));

        static void Check(JsonElement first, JsonElement next)
        {
            (int firstInput, int firstCached) = Tokens(first);
            (int input, int cached) = Tokens(next);
            int said = first.GetProperty("usage").GetProperty("output_tokens").GetInt32();
            Assert.Equal("completed", first.GetProperty("status").GetString());
            Assert.True(firstCached < firstInput / 2, $"{firstCached} of {firstInput} were cached before anything was said");
            // All of the first prompt, and of the reply all but what the end of a turn may change.
            Assert.True(cached >= firstInput + said - 4, $"{cached} of {input} cached; the first turn had {firstInput} and {said}");
        }
    }
}
