using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

/// <summary>POST /api/chat and /api/generate.</summary>
internal sealed class OllamaChatEndpoints(ModelCatalogue models, TimeProvider clock)
{
    public Task ChatAsync(HttpContext http) => HandleAsync(http, OllamaRequestParser.ParseChat, isChat: true);

    public Task GenerateAsync(HttpContext http) => HandleAsync(http, OllamaRequestParser.ParseGenerate, isChat: false);

    private async Task HandleAsync(HttpContext http, Func<JsonElement, List<string>, OllamaCall> parse, bool isChat)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        OllamaCall call = await JsonBody.ReadAsync(http, parse);
        // Nothing is loaded only to be unloaded.
        bool isUnload = call is { Chat: null, Text: null, Unloads: true };
        ServedModel model = isUnload && models.OnDemand?.Expire(call.Model) == true ? models.Models[0] : await models.UseAsync(http, call.Model, call.KeepAlive, call.Stream && call is not { Chat: null, Text: null } ? OllamaStreamEncoder.SignsOf(call, isChat, clock) : null);
        OllamaHeader header = new(call.Model, isChat, call.ReportsTiming, model, clock, RequestTrace.Of(http));
        if (call is { Chat: null, Text: null })
        {
            await OllamaReplyWriter.WriteLoadedAsync(http, header, call.Unloads ? "unload" : "load");
            return;
        }

        if (call.Thinks == true && model.Replies.Format.Reasoning is null)
            throw RequestProblem.Unsupported("think", $"the chat template of '{call.Model}' knows no thinking.");
        using ChatTurn turn = call.Chat is { } chat ? await hints.StartAsync(http, model, chat, call.Stream) : await hints.StartAsync(http, model, call.Text!, call.Stream);
        if (call.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await ReplyStream.WriteAsync(http, buffer, turn, new OllamaStreamEncoder(buffer, header), clock);
            return;
        }

        WholeReply[] replies = await turn.CollectAsync();
        await OllamaReplyWriter.WriteAsync(http, header, replies[0], call.Logprobs);
    }
}
