using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace InferenceServer.Operations;

/// <summary>Says that a route reads this from its query or its headers.</summary>
internal sealed record ApiParameter(string Name, string Description, ParameterLocation In = ParameterLocation.Query, JsonSchemaType Type = JsonSchemaType.String);

/// <summary>What requests carry besides their bodies. Handlers take the whole request, so the generator sees nothing of it.</summary>
internal static class ApiParameters
{
    /// <summary>Of routes that generate.</summary>
    public static readonly object[] OfGeneration =
    [
        new ApiParameter("X-Session-Id", "Names a session whose cached prefix is kept longer; goes before prompt_cache_key.", ParameterLocation.Header),
        new ApiParameter("X-Request-Timeout-Ms", "Most milliseconds from arrival to the last token.", ParameterLocation.Header, JsonSchemaType.Integer),
    ];

    private static readonly ApiParameter[] OfPosts =
    [
        new("Idempotency-Key", "A retry with the same key and the same body gets the first answer again.", ParameterLocation.Header),
        new("X-Disconnect-Grace-Ms", "How many milliseconds the reply is still generated when nobody reads it any more: 0 to 600000.", ParameterLocation.Header, JsonSchemaType.Integer),
        new("Last-Event-ID", "Send only what followed this event of the stream that the same request began.", ParameterLocation.Header),
    ];

    private static readonly ApiParameter[] OfAll =
    [
        new("X-Request-Id", "Comes back as x-request-id: up to 128 letters, digits, '-', '_' and '.'.", ParameterLocation.Header),
        new("traceparent", "W3C trace context; the trace id goes into the log.", ParameterLocation.Header),
    ];

    public static void AddTo(OpenApiOperation operation, OpenApiOperationTransformerContext context)
    {
        IList<IOpenApiParameter> parameters = operation.Parameters ??= [];
        IEnumerable<ApiParameter> ofPath = (context.Description.RelativePath ?? "").Split('/').Where(part => part.StartsWith('{'))
            .Select(part => new ApiParameter(part.Trim('{', '}', '*').Split(':')[0], "The one that is meant.", ParameterLocation.Path));
        IEnumerable<ApiParameter> own = context.Description.ActionDescriptor.EndpointMetadata.OfType<ApiParameter>();
        ApiParameter[] ofMethod = context.Description.HttpMethod == "POST" ? OfPosts : [];
        foreach (ApiParameter parameter in (IEnumerable<ApiParameter>)[.. ofPath, .. own, .. ofMethod, .. OfAll])
            parameters.Add(new OpenApiParameter
            {
                Name = parameter.Name,
                Description = parameter.Description,
                In = parameter.In,
                Required = parameter.In == ParameterLocation.Path,
                Schema = new OpenApiSchema { Type = parameter.Type },
            });
    }
}
