using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace InferenceServer.Api;

/// <summary>Says that a route reads this from its query or its headers. A query parameter that its route does not name so is told to the client as unknown.</summary>
/// <param name="Type">Of an array the items are texts (<c>name=a&amp;name=b</c>, or <c>name[]=a</c>); of an object the members are (<c>name[key]=value</c>).</param>
internal sealed record ApiParameter(string Name, string Description, ParameterLocation In = ParameterLocation.Query, JsonSchemaType Type = JsonSchemaType.String)
{
    public IReadOnlyList<string> Allowed { get; init; } = [];

    /// <summary>A value of the right form; null for none.</summary>
    public BodyExample? Example { get; init; }

    /// <summary>Whether a name in a query means this parameter.</summary>
    public bool IsMeantBy(string name) => In == ParameterLocation.Query
        && (name == Name || (Type is JsonSchemaType.Array or JsonSchemaType.Object && name.StartsWith(Name + "[", StringComparison.Ordinal) && name[^1] == ']'));

    public OpenApiParameter Describe(ModelCatalogue models) => new()
    {
        Example = Example?.For(models),
        Name = Name,
        Description = Description,
        In = In,
        Required = In == ParameterLocation.Path,
        Style = Type == JsonSchemaType.Object ? ParameterStyle.DeepObject : null,
        Explode = Type is JsonSchemaType.Object or JsonSchemaType.Array,
        Schema = new OpenApiSchema
        {
            Type = Type,
            Items = Type == JsonSchemaType.Array ? new OpenApiSchema { Type = JsonSchemaType.String } : null,
            AdditionalProperties = Type == JsonSchemaType.Object ? new OpenApiSchema { Type = JsonSchemaType.String } : null,
            Enum = Allowed.Count > 0 ? [.. Allowed.Select(name => System.Text.Json.Nodes.JsonValue.Create(name))] : null,
        },
    };
}

/// <summary>What requests carry besides their bodies. Handlers take the whole request, so the generator sees nothing of it.</summary>
internal static class ApiParameters
{
    /// <summary>Of routes that generate.</summary>
    public static readonly object[] OfGeneration =
    [
        new ApiParameter("X-Session-Id", "Names a session whose cached prefix is kept longer; goes before prompt_cache_key.", ParameterLocation.Header),
        new ApiParameter("X-Request-Timeout-Ms", "Most milliseconds from arrival to the last token.", ParameterLocation.Header, JsonSchemaType.Integer),
        ModelRoute.Marker,
    ];

    /// <summary>What of what is stored to include: all of it is there whether it is asked for or not.</summary>
    public static readonly ApiParameter Include = new("include", "Checked and accepted: what was included when it was made is there.", Type: JsonSchemaType.Array);

    /// <summary>Of the route that shows a model.</summary>
    public static readonly ApiParameter ModelId = Id("Id of the model, as /v1/models lists it.", "$model");

    /// <summary>Of a file that is uploaded.</summary>
    public static readonly ApiParameter Digest = new("digest", "The file's hash: sha256: and 64 hex digits.", ParameterLocation.Path) { Example = new BodyExample($"\"sha256:{new string('0', 64)}\"") };

    /// <summary>The <c>id</c> within a path.</summary>
    public static ApiParameter Id(string description, string example) => new("id", description, ParameterLocation.Path) { Example = new BodyExample($"\"{example}\"") };

    /// <summary>Of routes that list.</summary>
    public static object[] OfPage(string order) =>
    [
        new ApiParameter("after", "Go on after the entry with this id, the last of the page before."),
        new ApiParameter("limit", "Most entries of the page: 1 to 100, 20 if absent.", Type: JsonSchemaType.Integer),
        new ApiParameter("order", $"By time; {order} if absent.") { Allowed = ["asc", "desc"] },
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
        ModelCatalogue models = context.ApplicationServices.GetRequiredService<ModelCatalogue>();
        IList<IOpenApiParameter> parameters = operation.Parameters ??= [];
        IEnumerable<ApiParameter> own = context.Description.ActionDescriptor.EndpointMetadata.OfType<ApiParameter>();
        ApiParameter[] ofMethod = context.Description.HttpMethod == "POST" ? OfPosts : [];
        foreach (ApiParameter parameter in (IEnumerable<ApiParameter>)[.. own.OrderByDescending(parameter => parameter.In == ParameterLocation.Path), .. ofMethod, .. OfAll])
            parameters.Add(parameter.Describe(models));
    }
}
