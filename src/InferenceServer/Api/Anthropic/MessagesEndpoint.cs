using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.Streaming;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

/// <summary>POST /v1/messages and /v1/messages/count_tokens.</summary>
internal sealed class MessagesEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task CreateAsync(HttpContext http)
    {
        AnthropicErrors.StampId(http);
        RequestTrace trace = RequestTrace.Of(http);
        RequestHints hints = RequestHints.Of(http.Request);
        (ChatCompletionRequest chat, bool omitsThinking) = await ReadAsync(http, counts: false);
        ServedModel model = models.Find(chat.Model);
        using ChatTurn turn = await ChatTurn.StartAsync(model, chat, hints, trace, http.RequestAborted);
        string tier = GenerationTranslator.TierName(turn.Requests[0].Priority) == "default" ? "standard" : "priority";
        MessageHeader header = new($"msg_{Guid.NewGuid():N}", model.Id, tier, turn.Requests[0].PromptTokens.Length, chat.MaxCompletionTokens!.Value, omitsThinking, chat.Timing);
        if (chat.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await turn.StreamAsync(http, buffer, new MessageStreamEncoder(buffer, header, trace.Id), clock);
            return;
        }

        ChatTurnReply[] replies = await turn.CollectAsync();
        await JsonAnswer.WriteAsync(http, MessageBuilder.Whole(header, replies[0]), AnthropicJson.Wire.Message);
    }

    public async Task CountTokensAsync(HttpContext http)
    {
        AnthropicErrors.StampId(http);
        (ChatCompletionRequest chat, _) = await ReadAsync(http, counts: true);
        int tokens = ChatTranslator.Tokenize(chat, models.Find(chat.Model)).Length;
        await JsonAnswer.WriteAsync(http, new MessageTokenCount(tokens), AnthropicJson.Wire.MessageTokenCount);
    }

    private static async Task<MessagesCall> ReadAsync(HttpContext http, bool counts)
    {
        using JsonDocument body = await JsonBody.ReadAsync(http);
        List<string> ignored = [];
        MessagesCall call = MessagesParser.Parse(body.RootElement, counts, ignored);
        IgnoredParameters.Announce(http.Response, ignored);
        return call;
    }
}
