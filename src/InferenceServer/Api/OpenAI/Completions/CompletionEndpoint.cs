using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>What is the same in every chunk and in the whole reply.</summary>
internal sealed record CompletionHeader(string Id, long Created, string Model, string Fingerprint);

/// <summary>POST /v1/completions.</summary>
internal sealed class CompletionEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        CompletionCall call = await JsonBody.ReadAsync(http, CompletionRequestParser.Parse);
        ServedModel model = await models.UseAsync(http, call.Model, stream: call.Options.Stream ? LoadSigns.OfEvents(clock) : null);
        using ChatTurn turn = await hints.StartAsync(http, model, call.Text, call.Options.Stream);
        CompletionHeader header = new($"cmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id, model.Fingerprint);
        if (call.Options.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await ReplyStream.WriteAsync(http, buffer, turn, new CompletionStreamEncoder(buffer, header, turn, call), clock);
            return;
        }

        WholeReply[] replies = await turn.CollectAsync();
        GenerationResult[] results = Array.ConvertAll(replies, reply => reply.End.Result);
        Completion completion = new(header.Id, "text_completion", header.Created, header.Model, CompletionChoices.Of(call, turn, replies),
            Usage.Of(results, call.Generated), header.Fingerprint)
        { XCache = CacheUse.Of(call.Options.ReportsCache, results), Timing = RequestTiming.Of(call.Options.ReportsTiming, results, call.Generated) };
        await JsonAnswer.WriteAsync(http, completion, CompletionJson.Wire.Completion);
    }
}
