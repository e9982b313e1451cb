using System.Text.Json;

namespace InferenceServer.Tests.Spec;

/// <summary>The validator finds what is wrong: otherwise every test that leans on it would pass for nothing.</summary>
public sealed class SpecValidatorTests
{
    private const string Schemas =
        """
        {
          "Text": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
          "Count": {"type": "integer", "minimum": 0, "maximum": 9},
          "Maybe": {"type": "string", "nullable": true},
          "Named": {"type": "object", "properties": {"name": {"$ref": "#/components/schemas/Text"}, "note": {"$ref": "#/components/schemas/Count", "nullable": true}}, "required": ["name"]},
          "Both": {"allOf": [{"$ref": "#/components/schemas/Named"}, {"type": "object", "properties": {"count": {"$ref": "#/components/schemas/Count"}}, "required": ["count"]}]},
          "List": {"type": "array", "items": {"$ref": "#/components/schemas/Count"}, "minItems": 1, "maxItems": 2},
          "Map": {"type": "object", "additionalProperties": {"type": "string"}},
          "Free": {},
          "Cat": {"type": "object", "properties": {"type": {"type": "string", "enum": ["cat"]}, "lives": {"type": "integer"}}, "required": ["type", "lives"]},
          "Dog": {"type": "object", "properties": {"type": {"type": "string", "enum": ["dog"]}, "tail": {"type": "boolean"}}, "required": ["type", "tail"]},
          "Pet": {"oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}], "discriminator": {"propertyName": "type"}},
          "PetOrNull": {"anyOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "null"}]},
          "Odd": {"type": "string", "uniqueItems": true}
        }
        """;

    private static List<string> Errors(string schema, string value) =>
        new SpecValidator(JsonDocument.Parse(Schemas).RootElement, new HashSet<string> { "extra" }).Errors(schema, JsonDocument.Parse(value).RootElement);

    [Theory]
    [InlineData("Text", "\"abc\"")]
    [InlineData("Count", "3")]
    [InlineData("Count", "3.0")]
    [InlineData("Maybe", "null")]
    [InlineData("Named", """{"name":"ab","note":null,"extra":1}""")]
    [InlineData("Both", """{"name":"ab","count":1}""")]
    [InlineData("List", "[1,2]")]
    [InlineData("Map", """{"a":"b"}""")]
    [InlineData("Free", """{"a":[1]}""")]
    [InlineData("Pet", """{"type":"dog","tail":true}""")]
    [InlineData("PetOrNull", "null")]
    public void What_is_right_passes(string schema, string value) => Assert.Empty(Errors(schema, value));

    [Theory]
    [InlineData("Text", "1", "$ must be of type string")]
    [InlineData("Text", "\"a\"", "minLength")]
    [InlineData("Text", "\"abcde\"", "maxLength")]
    [InlineData("Text", "\"AB\"", "pattern")]
    [InlineData("Count", "1.5", "must be of type integer")]
    [InlineData("Count", "-1", "minimum")]
    [InlineData("Count", "10", "maximum")]
    [InlineData("Count", "null", "must be of type integer")]
    [InlineData("Named", "{}", "$.name is required")]
    [InlineData("Named", """{"name":"ab","nmae":1}""", "$.nmae is in no schema")]
    [InlineData("Both", """{"name":"ab"}""", "$.count is required")]
    [InlineData("Both", """{"name":"ab","count":1,"cuont":1}""", "$.cuont is in no schema")]
    [InlineData("List", "[]", "minItems")]
    [InlineData("List", "[1,2,3]", "maxItems")]
    [InlineData("List", "[1,\"x\"]", "$[1] must be of type integer")]
    [InlineData("Map", """{"a":1}""", "$.a must be of type string")]
    [InlineData("Pet", """{"type":"fish"}""", "none of the alternatives")]
    [InlineData("Pet", """{"type":"cat","tail":true}""", "$.lives is required")]
    [InlineData("Pet", """{"type":"cat","lives":9,"tail":true}""", "$.tail is in no schema")]
    [InlineData("PetOrNull", "7", "must be of type")]
    public void What_is_wrong_is_found_at_its_place(string schema, string value, string error) =>
        Assert.Contains(Errors(schema, value), found => found.Contains(error, StringComparison.Ordinal));

    [Fact]
    public void A_keyword_that_is_not_checked_is_no_silent_pass() => Assert.Throws<NotSupportedException>(() => Errors("Odd", "\"x\""));
}
