using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.LlamaServer;

/// <summary>POST /completion.</summary>
internal sealed class LlamaCompletionEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        LlamaCompletionCall call = await JsonBody.ReadAsync(http, LlamaCompletionParser.Parse);
        ServedModel model = await models.UseAsync(http, call.Model ?? models.Models[0].Id, stream: call.Stream ? LoadSigns.OfEvents(clock) : null);
        using ChatTurn turn = await hints.StartAsync(http, model, call.Text, call.Stream);
        if (call.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await ReplyStream.WriteAsync(http, buffer, turn, new LlamaStreamEncoder(buffer, model), clock);
            return;
        }

        WholeReply reply = (await turn.CollectAsync())[0];
        LlamaCompletion completion = Whole(model, reply.Text ?? "", reply.End.Result);
        if (call.Text.Options.TopLogprobs is not null)
            completion = completion with { CompletionProbabilities = [.. reply.Logprobs.Select(token => ReportedLogprob.Of(model.Vocabulary, token))] };
        await JsonAnswer.WriteAsync(http, completion, LlamaServerJson.Wire.LlamaCompletion);
    }

    /// <summary>A reply, or what is told at the end of one that was streamed.</summary>
    public static LlamaCompletion Whole(ServedModel model, string content, GenerationResult result)
    {
        string type = result.StopString is not null ? "word" : result.FinishReason is FinishReason.Length or FinishReason.DeadlineExceeded ? "limit" : "eos";
        return new(0, content, true, model.Id, result.CompletionTokens, result.PromptTokens, result.CachedTokens, type, result.StopString ?? "", false, LlamaTimings.Of(result));
    }
}

/// <summary>A streamed reply: an event for each piece, the last with how it ended.</summary>
internal sealed class LlamaStreamEncoder(SseBuffer buffer, ServedModel model) : IReplyEncoder
{
    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Delta && (read.Delta.Text.Length > 0 || read.Logprobs is not null))
            Event(new LlamaCompletionPiece(0, read.Delta.Text, false) { CompletionProbabilities = read.Logprobs is { } token ? [ReportedLogprob.Of(model.Vocabulary, token)] : null }, LlamaServerJson.Wire.LlamaCompletionPiece);
        else if (read.Kind == ReplyEventKind.Finish)
            Event(LlamaCompletionEndpoint.Whole(model, "", read.End!.Result), LlamaServerJson.Wire.LlamaCompletion);
    }

    public void End(ReadOnlySpan<ReplyEnd> ends)
    {
    }

    public void Error(RequestProblem problem) => Event(LlamaServerErrors.Of(problem), LlamaServerJson.Wire.LlamaError);

    private void Event<T>(T value, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        buffer.Raw("data: "u8);
        buffer.Json(value, type);
        buffer.Raw("\n\n"u8);
    }
}
