using System.Diagnostics.CodeAnalysis;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace InferenceServer.Api;

/// <summary>What a field that takes values of several types looks like, as JSON Schema in text; no type of ours says it.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class JsonShapeAttribute([StringSyntax(StringSyntaxAttribute.Json)] string schema) : Attribute
{
    /// <summary>Puts the shape in the place of what the generator made of the property's type; its description stays.</summary>
    public void Apply(OpenApiSchema property, Microsoft.OpenApi.OpenApiDocument document)
    {
        OpenApiSchema shape = OpenApiModelFactory.Parse<OpenApiSchema>(schema, OpenApiSpecVersion.OpenApi3_1, document, out OpenApiDiagnostic diagnostic, "json")
            ?? throw new InvalidOperationException($"The shape is no schema: {schema}");
        if (diagnostic.Errors.Count > 0)
            throw new InvalidOperationException($"{diagnostic.Errors[0]}: {schema}");
        (property.Type, property.Enum, property.AnyOf) = (shape.Type, shape.Enum, shape.AnyOf);
        (property.Properties, property.Required, property.Items, property.AdditionalProperties) = (shape.Properties, shape.Required, shape.Items, shape.AdditionalProperties);
    }
}

/// <summary>One form of an object: where <paramref name="name"/> has one of <paramref name="values"/>, <paramref name="required"/> is there as well.</summary>
/// <param name="values">Separated by commas.</param>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
internal sealed class JsonFormAttribute(string name, string values, params string[] required) : Attribute
{
    public OpenApiSchema Describe() => new()
    {
        Properties = new Dictionary<string, IOpenApiSchema>
        {
            [name] = new OpenApiSchema { Type = JsonSchemaType.String, Enum = [.. values.Split(',').Select(value => System.Text.Json.Nodes.JsonValue.Create(value))] },
        },
        Required = new HashSet<string>([name, .. required]),
    };
}

/// <summary>Shapes that several dialects take.</summary>
internal static class JsonShapes
{
    public const string AnyObject = """{"type":"object","additionalProperties":{}}""";

    public const string TextOrTexts = """{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}""";

    public const string TextOrTokens = """
        {"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}},{"type":"array","items":{"type":"integer"}},{"type":"array","items":{"type":"array","items":{"type":"integer"}}}]}
        """;

    private const string TextPart = """{"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["text"]},"text":{"type":"string"}}}""";

    public const string TextOrTextParts = $$$"""{"anyOf":[{"type":"string"},{"type":"array","items":{{{TextPart}}} }]}""";

    public const string ModerationInput = $$$"""{"anyOf":[{"type":"string"},{"type":"array","items":{"anyOf":[{"type":"string"},{{{TextPart}}}]}}]}""";
}
