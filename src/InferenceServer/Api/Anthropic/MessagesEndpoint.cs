using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

/// <summary>POST /v1/messages and /v1/messages/count_tokens.</summary>
internal sealed class MessagesEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task CreateAsync(HttpContext http)
    {
        AnthropicErrors.StampId(http);
        RequestHints hints = RequestHints.Of(http.Request);
        MessagesCall call = await JsonBody.ReadAsync(http, (body, ignored) => MessagesParser.Parse(body, counts: false, ignored));
        ServedModel model = await models.UseAsync(http, call.Model, stream: call.Stream ? LoadSigns.OfEvents(clock) : null);
        using ChatTurn turn = await hints.StartAsync(http, model, call.Chat, call.Stream);
        MessageHeader header = new($"msg_{Guid.NewGuid():N}", model.Id, "standard", turn.Requests[0].PromptTokens.Length, call.Chat.Options.MaxOutputTokens!.Value, call.OmitsThinking, call.ReportsTiming);
        if (call.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await ReplyStream.WriteAsync(http, buffer, turn, new MessageStreamEncoder(buffer, header, RequestTrace.Of(http).Id), clock);
            return;
        }

        WholeReply[] replies = await turn.CollectAsync();
        await JsonAnswer.WriteAsync(http, MessageBuilder.Whole(header, replies[0]), AnthropicJson.Wire.Message);
    }

    public async Task CountTokensAsync(HttpContext http)
    {
        AnthropicErrors.StampId(http);
        MessagesCall call = await JsonBody.ReadAsync(http, (body, ignored) => MessagesParser.Parse(body, counts: true, ignored));
        List<string> adaptations = [];
        int tokens = ChatPrompt.Tokenize(call.Chat, await models.UseAsync(http, call.Model), adaptations).Length;
        RequestHints.Announce(http, adaptations);
        await JsonAnswer.WriteAsync(http, new MessageTokenCount(tokens), AnthropicJson.Wire.MessageTokenCount);
    }
}
