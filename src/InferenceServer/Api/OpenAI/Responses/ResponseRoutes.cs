using InferenceServer.Operations;

namespace InferenceServer.Api.OpenAI.Responses;

internal static class ResponseRoutes
{
    private static readonly ApiParameter StoredResponse = ApiParameters.Id("Id of a stored response.", "resp_00000000000000000000000000000000");

    public static void AddServices(IServiceCollection services) =>
        services.AddSingleton<ResponseEndpoints>().AddSingleton<ResponseSideEndpoints>().AddSingleton<ResponseRuns>().AddSingleton<ConversationLocks>()
            .AddHostedService(provider => provider.GetRequiredService<ResponseRuns>());

    public static void Map(WebApplication app)
    {
        ResponseEndpoints responses = app.Services.GetRequiredService<ResponseEndpoints>();
        ResponseSideEndpoints side = app.Services.GetRequiredService<ResponseSideEndpoints>();
        app.MapPost("/v1/responses", (Delegate)responses.CreateAsync).WithName("createResponse").WithTags("Responses")
            .WithSummary("Answer an input, going on from a stored response or conversation if one is named.").Takes<ResponseRequest>("""{"model":"$model","input":"Why is the sky blue?","max_output_tokens":100}""")
            .Produces<ModelResponse>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(ResponseStreamEvent))).WithMetadata(ApiParameters.OfGeneration).ProducesErrors().Produces<ErrorResponse>(502);
        app.MapGet("/v1/responses/{id}", (Delegate)responses.RetrieveAsync).WithName("getResponse").WithTags("Responses")
            .WithSummary("A stored response; of one made in the background also the events.").WithMetadata(StoredResponse, ApiParameters.Include)
            .WithMetadata(new ApiParameter("stream", "Send the events of a response that was made in the background.", Type: Microsoft.OpenApi.JsonSchemaType.Boolean),
                new ApiParameter("starting_after", "With stream: only events after the one with this sequence_number.", Type: Microsoft.OpenApi.JsonSchemaType.Integer),
                new ApiParameter("include_obfuscation", "Only false: streams are not padded.", Type: Microsoft.OpenApi.JsonSchemaType.Boolean))
            .Produces<ModelResponse>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(ResponseStreamEvent))).ProducesErrors();
        app.MapDelete("/v1/responses/{id}", (Delegate)responses.DeleteAsync).WithName("deleteResponse").WithTags("Responses")
            .WithSummary("Delete a stored response.").WithMetadata(StoredResponse).Produces<Deletion>().ProducesErrors();
        app.MapPost("/v1/responses/{id}/cancel", (Delegate)responses.CancelAsync).WithName("cancelResponse").WithTags("Responses")
            .WithSummary("Stop a response that runs in the background.").WithMetadata(StoredResponse).Produces<ModelResponse>().ProducesErrors();
        app.MapGet("/v1/responses/{id}/input_items", (Delegate)responses.ListInputAsync).WithName("listInputItems").WithTags("Responses")
            .WithSummary("A response's own input.").WithMetadata(StoredResponse).WithMetadata(ApiParameters.OfPage("desc")).WithMetadata(ApiParameters.Include).Produces<ResponseItemList>().ProducesErrors();
        app.MapPost("/v1/responses/input_tokens", (Delegate)side.CountAsync).WithName("countResponseTokens").WithTags("Responses")
            .WithSummary("Count the tokens of the prompt that a response's input becomes; model may be left out where there is one.").Takes<ResponseRequest>("""{"model":"$model","input":"Why is the sky blue?"}""")
            .Produces<ResponseInputTokenCount>().ProducesErrors();
        app.MapPost("/v1/responses/compact", (Delegate)side.CompactAsync).WithName("compactResponse").WithTags("Responses").WithMetadata(ModelRoute.Marker)
            .WithSummary("Have the model summarise a conversation: what to send as input in its place; model may be left out where there is one.").Takes<ResponseRequest>("""{"model":"$model","input":[{"role":"user","content":"Why is the sky blue?"},{"role":"assistant","content":"The air scatters blue light."}],"max_output_tokens":100}""")
            .Produces<CompactedResponse>().ProducesErrors();
    }
}
