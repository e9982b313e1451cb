using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Completions;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
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
        RequestTrace trace = RequestTrace.Of(http);
        RequestHints hints = RequestHints.Of(http.Request);
        OllamaCall call;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            call = parse(body.RootElement, ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        ServedModel model = models.Find(OllamaRequestParser.IdOf(call.Model));
        OllamaHeader header = new(call.Model, isChat, (call.Chat?.Timing ?? false) || (call.Text?.Timing ?? false), model, clock, trace);
        if (call is { Chat: null, Text: null })
        {
            await OllamaReplyWriter.WriteLoadedAsync(http, header);
            return;
        }

        if (call.Thinks == true && model.Replies.Format.Reasoning is null)
            throw ApiException.Unsupported("think", $"the chat template of '{call.Model}' knows no thinking.");
        using ChatTurn turn = call.Chat is { } chat
            ? await ChatTurn.StartAsync(model, chat, hints, trace, http.RequestAborted)
            : await StartTextAsync(model, call.Text!, hints, trace, http.RequestAborted);
        if (call.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await turn.StreamAsync(http, buffer, new OllamaStreamEncoder(buffer, header), clock);
            return;
        }

        ChatTurnReply[] replies = await turn.CollectAsync();
        await OllamaReplyWriter.WriteAsync(http, header, replies[0], call.TopLogprobs is not null);
    }

    private static async Task<ChatTurn> StartTextAsync(ServedModel model, CompletionRequest text, RequestHints hints, RequestTrace trace, CancellationToken aborted)
    {
        TokenConstraint? constraint = text.Constraint is { } source ? await model.Constraints.CompileAsync(source, aborted) : null;
        return ChatTurn.StartText(model, CompletionTranslator.Translate(text, model, hints, constraint), text.Stream, trace, aborted);
    }
}
