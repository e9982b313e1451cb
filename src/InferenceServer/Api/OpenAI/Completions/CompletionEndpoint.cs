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
        trace.Accepted(model.Id, request.Stream, requests);
        CompletionHeader header = new($"cmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id, model.Fingerprint);

        using GenerationSet generations = GenerationSet.Submit(model.Engine, requests, http.RequestAborted);
        trace.Submitted(generations);
        if (request.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            CompletionStreamEncoder encoder = new(buffer, header, model.Vocabulary, requests.Count, request, choice =>
                CompletionTranslator.Echo(request, model, requests[choice], choice / request.N) is { } echo ? (echo, generations.PromptLogprobs(choice)) : null);
            await new StreamPump(http, generations, buffer, encoder, trace, clock).RunAsync();
            return;
        }

        CompletionCollector collected = new(request, model, requests, generations);
        GenerationResult[] results = await GenerationCollector.ReadAllAsync(generations, trace, collected.Add);
        Completion completion = new(header.Id, "text_completion", header.Created, header.Model, collected.Choices(results),
            Usage.Of(results, request.Generated), header.Fingerprint)
        { XCache = CacheUse.Of(request.XCacheReport, results), Timing = RequestTiming.Of(request.Timing, results, request.Generated) };
        await JsonAnswer.WriteAsync(http, completion, OpenAIJson.Wire.Completion);
    }
}
