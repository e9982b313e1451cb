using System.Text;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>What is the same in every chunk and in the whole reply.</summary>
internal sealed record CompletionHeader(string Id, long Created, string Model, string Fingerprint);

/// <summary>POST /v1/completions.</summary>
internal sealed class CompletionEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestTrace trace = RequestTrace.Of(http);
        RequestHints hints = RequestHints.Of(http.Request);
        CompletionRequest request;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            request = CompletionRequestParser.Parse(body.RootElement, ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        ServedModel model = models.Find(request.Model);
        TokenConstraint? constraint = request.Constraint is { } source ? await model.Constraints.CompileAsync(source, http.RequestAborted) : null;
        List<GenerationRequest> requests = CompletionTranslator.Translate(request, model, hints, constraint);
        trace.Accepted(request.Stream, requests);
        CompletionHeader header = new($"cmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id, model.Fingerprint);

        using GenerationSet generations = GenerationSet.Submit(model.Engine, requests, http.RequestAborted);
        if (request.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            CompletionStreamEncoder encoder = new(buffer, header, model.Vocabulary, requests.Count, request.N,
                request.StreamOptions?.IncludeUsage ?? false, request.Logprobs, request.XCacheReport);
            await new StreamPump(http, generations, buffer, encoder, trace, clock).RunAsync();
            return;
        }

        Completion completion = await CollectAsync(generations, header, model, request, trace);
        await JsonAnswer.WriteAsync(http, completion, OpenAIJson.Wire.Completion);
    }

    private static async Task<Completion> CollectAsync(
        GenerationSet generations, CompletionHeader header, ServedModel model, CompletionRequest request, RequestTrace trace)
    {
        StringBuilder[] texts = new StringBuilder[generations.Count];
        CompletionLogprobBuilder[] logprobs = new CompletionLogprobBuilder[generations.Count];
        for (int i = 0; i < texts.Length; i++)
            (texts[i], logprobs[i]) = (new StringBuilder(), new CompletionLogprobBuilder(request.Logprobs ?? 0));

        GenerationResult[] results = await GenerationCollector.ReadAllAsync(generations, trace, (choice, read) =>
        {
            texts[choice].Append(read.Text);
            if (read.Logprobs is { } taken)
                logprobs[choice].Add(model.Vocabulary, taken);
        });

        CompletionChoice[] choices = new CompletionChoice[results.Length];
        for (int i = 0; i < choices.Length; i++)
            choices[i] = new CompletionChoice(i, texts[i].ToString(), request.Logprobs is null ? null : logprobs[i].Take(),
                GenerationOutcome.FinishReasonName(results[i]));
        return new Completion(header.Id, "text_completion", header.Created, header.Model, choices, Usage.Of(results, request.N), header.Fingerprint)
        { XCache = CacheUse.Of(request.XCacheReport, results) };
    }
}
