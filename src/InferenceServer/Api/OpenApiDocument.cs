using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Completions;
using InferenceServer.Models;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace InferenceServer.Api;

/// <summary>What the generator cannot see in the types: fields that take one value or several, and the document's title.</summary>
internal static class OpenApiDocument
{
    public static void Configure(OpenApiOptions options)
    {
        // A field that takes any JSON has a shape of its own, and no schema that it shares with others.
        options.CreateSchemaReferenceId = type => type.Type == typeof(JsonElement) || type.Type == typeof(JsonElement?) ? null : type.Type.GetCustomAttribute<SchemaNameAttribute>()?.Name ?? OpenApiOptions.CreateDefaultSchemaReferenceId(type);
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "InferenceServer",
                Version = ServerVersion.Text,
                Description = "A local inference server for GPT-style models. Fields are honoured or refused with 400; unknown ones are listed in the header x-ignored-params.",
            };
            const string Scheme = "apiKey";
            (document.Components ??= new OpenApiComponents()).SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
            {
                [Scheme] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "Where the server was started with keys; the header x-api-key does as well." },
            };
            foreach (IOpenApiSchema alternatives in document.Components.Schemas?.Values.Where(schema => schema.Discriminator is not null) ?? [])
                RequireDiscriminator(alternatives);
            RequireWhatIsSent(document);
            document.Security = [new OpenApiSecurityRequirement(), new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Scheme, document)] = [] }];
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            DropOptional(schema, context.JsonTypeInfo);
            if (context.JsonPropertyInfo?.AttributeProvider?.GetCustomAttributes(typeof(JsonShapeAttribute), false) is [JsonShapeAttribute shape])
            {
                shape.Apply(schema, context.Document!);
                // The generator passes over the descriptions of what may be any JSON, or null.
                if (context.JsonPropertyInfo.AttributeProvider.GetCustomAttributes(typeof(DescriptionAttribute), false) is [DescriptionAttribute said])
                    schema.Description = said.Description;
            }

            if (context.JsonTypeInfo.Type.IsAssignableTo(typeof(SamplingParameters)))
                SamplingReader.Describe(schema);
            if (context.JsonTypeInfo.Type.GetCustomAttributes<JsonFormAttribute>().ToList() is { Count: > 0 } forms)
                schema.AnyOf = [.. forms.Select(form => form.Describe())];
            object[] allowed = context.JsonPropertyInfo?.AttributeProvider?.GetCustomAttributes(typeof(AllowedValuesAttribute), false) ?? [];
            if (allowed is [AllowedValuesAttribute names])
                schema.Enum = [.. names.Values.Select(name => System.Text.Json.Nodes.JsonValue.Create((string)name!))];
            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            ApiParameters.AddTo(operation, context);
            if (context.Description.ActionDescriptor.EndpointMetadata.OfType<BodyExample>().FirstOrDefault() is { } example)
                operation.RequestBody!.Content!["application/json"].Example = example.For(context.ApplicationServices.GetRequiredService<ModelCatalogue>());
            if (context.Description.ActionDescriptor.EndpointMetadata.OfType<IAllowAnonymous>().Any())
                operation.Security = [];
            // A status can be declared with one type only; a streamed answer is a second one, declared under a status of its own until here.
            if (operation.Responses!.Remove(StreamedAnswer.Marker, out IOpenApiResponse? streamed))
                foreach ((string type, OpenApiMediaType content) in streamed.Content!)
                    operation.Responses["200"].Content![type] = content;
            return Task.CompletedTask;
        });
    }

    /// <summary>Of what is only ever sent by us all is there that cannot be null; the generator knows this of constructors' parameters only.</summary>
    private static void RequireWhatIsSent(Microsoft.OpenApi.OpenApiDocument document)
    {
        HashSet<string> read = [], sent = [];
        foreach (OpenApiOperation operation in document.Paths.Values.SelectMany(path => path.Operations?.Values ?? Enumerable.Empty<OpenApiOperation>()))
        {
            foreach (OpenApiMediaType content in operation.RequestBody?.Content?.Values.OfType<OpenApiMediaType>() ?? [])
                Collect(content.Schema, read);
            foreach (OpenApiMediaType content in operation.Responses?.Values.SelectMany(answer => answer.Content?.Values ?? []).OfType<OpenApiMediaType>() ?? [])
                Collect(content.Schema, sent);
        }

        foreach (OpenApiSchema schema in sent.Except(read).Select(id => document.Components!.Schemas![id]).OfType<OpenApiSchema>())
            foreach ((string name, IOpenApiSchema property) in schema.Properties ?? new Dictionary<string, IOpenApiSchema>())
                if (property is OpenApiSchemaReference || property is { Type: { } type } && !type.HasFlag(JsonSchemaType.Null))
                    (schema.Required ??= new HashSet<string>()).Add(name);

        void Collect(IOpenApiSchema? schema, HashSet<string> into)
        {
            if (schema is null || (schema is OpenApiSchemaReference reference && !into.Add(reference.Reference.Id!)))
                return;
            IOpenApiSchema at = schema is OpenApiSchemaReference { Reference.Id: { } id } ? document.Components!.Schemas![id] : schema;
            foreach (IOpenApiSchema? part in (IEnumerable<IOpenApiSchema?>)[.. at.Properties?.Values ?? [], .. at.AnyOf ?? [], .. at.OneOf ?? [], .. at.AllOf ?? [], at.Items, at.AdditionalProperties])
                Collect(part, into);
        }
    }

    /// <summary>What tells alternatives apart is always there; the generator says so of the whole only.</summary>
    private static void RequireDiscriminator(IOpenApiSchema alternatives)
    {
        foreach (IOpenApiSchema alternative in alternatives.AnyOf ?? alternatives.OneOf ?? [])
            if ((alternative is OpenApiSchemaReference reference ? reference.RecursiveTarget : alternative) is OpenApiSchema schema)
                (schema.Required ??= new HashSet<string>()).Add(alternatives.Discriminator!.PropertyName!);
    }

    /// <summary>A parameter of a constructor counts as required to the generator; here it may be absent where it may be null.</summary>
    private static void DropOptional(OpenApiSchema schema, JsonTypeInfo type)
    {
        if (schema.Required is not { Count: > 0 } required)
            return;
        foreach (JsonPropertyInfo property in type.Properties.Where(property => !property.IsRequired && property.IsGetNullable))
            required.Remove(property.Name);
    }

    /// <summary>Says that a route also answers with a stream of this type.</summary>
    public sealed record StreamedAnswer(Type EventType, string ContentType = "text/event-stream") : IProducesResponseTypeMetadata
    {
        /// <summary>No answer has it.</summary>
        public const string Marker = "299";

        Type? IProducesResponseTypeMetadata.Type => EventType;

        int IProducesResponseTypeMetadata.StatusCode => int.Parse(Marker, CultureInfo.InvariantCulture);

        IEnumerable<string> IProducesResponseTypeMetadata.ContentTypes => [ContentType];
    }
}

/// <summary>The name of a schema in the OpenAPI document, where clients that were generated from it know it by another than the type's.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class SchemaNameAttribute(string name) : Attribute
{
    public string Name => name;
}
