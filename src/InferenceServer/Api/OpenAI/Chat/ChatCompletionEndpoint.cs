using System.Text;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>POST /v1/chat/completions.</summary>
internal sealed class ChatCompletionEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestTrace trace = RequestTrace.Of(http);
        RequestHints hints = RequestHints.Of(http.Request);
        ChatCompletionRequest request;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            request = ChatRequestParser.Parse(body.RootElement, ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        ServedModel model = models.Find(request.Model);
        TokenConstraint? constraint = request.Constraint is { } source ? await model.Constraints.CompileAsync(source, http.RequestAborted) : null;
        List<GenerationRequest> requests = ChatTranslator.Translate(request, model, hints, constraint);
        trace.Accepted(request.Stream, requests);
        ChatHeader header = new($"chatcmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id,
            GenerationTranslator.TierName(requests[0].Priority), model.Fingerprint);

        using GenerationSet generations = GenerationSet.Submit(model.Engine, requests, http.RequestAborted);
        if (request.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            ChatStreamEncoder encoder = new(buffer, header, model.Vocabulary, requests.Count, request.StreamOptions?.IncludeUsage ?? false, request.XCacheReport);
            await new StreamPump(http, generations, buffer, encoder, trace, clock).RunAsync();
            return;
        }

        ChatCompletion completion = await CollectAsync(generations, header, model, request, trace);
        await JsonAnswer.WriteAsync(http, completion, OpenAIJson.Wire.ChatCompletion);
    }

    private static async Task<ChatCompletion> CollectAsync(
        GenerationSet generations, ChatHeader header, ServedModel model, ChatCompletionRequest request, RequestTrace trace)
    {
        StringBuilder[] texts = new StringBuilder[generations.Count];
        List<ChatTokenLogprob>[] logprobs = new List<ChatTokenLogprob>[generations.Count];
        for (int i = 0; i < texts.Length; i++)
            (texts[i], logprobs[i]) = (new StringBuilder(), []);

        GenerationResult[] results = await GenerationCollector.ReadAllAsync(generations, trace, (choice, read) =>
        {
            texts[choice].Append(read.Text);
            if (read.Logprobs is { } taken)
                logprobs[choice].Add(LogprobFormatter.Chat(model.Vocabulary, taken));
        });

        ChatChoice[] choices = new ChatChoice[results.Length];
        for (int i = 0; i < choices.Length; i++)
            choices[i] = new ChatChoice(i, new ChatReply("assistant", texts[i].ToString(), null),
                request.Logprobs ? new ChatLogprobs(logprobs[i], null) : null, GenerationOutcome.FinishReasonName(results[i]));
        return new ChatCompletion(header.Id, "chat.completion", header.Created, header.Model, choices, Usage.Of(results, results.Length),
            header.ServiceTier, header.Fingerprint)
        { Metadata = request.Metadata, XCache = CacheUse.Of(request.XCacheReport, results) };
    }
}
