using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Constraints.JsonSchema;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

/// <summary>Schemas as tool servers really send them: what cannot be enforced is left open, in its place, and named.</summary>
public sealed class SchemaLooseningTests
{
    /// <summary>The schema of an argument, what is left open, values it must accept, and values it must refuse all the same; lists are separated by "¦".</summary>
    public static TheoryData<string, string, string, string> Arguments => new()
    {
        { """{"type":"string","pattern":"^(?=.*x).+$"}""", "#/properties/a/pattern", "\"q\"", "1" },
        { """{"type":"string","pattern":"\\bword\\b","maxLength":4}""", "#/properties/a/pattern", "\"q\"", "\"abcde\"" },
        { """{"type":"string","pattern":"(?i)yes"}""", "#/properties/a/pattern", "\"YES\"", "1" },
        { """{"type":"array","uniqueItems":true,"items":{"type":"string"}}""", "#/properties/a/uniqueItems", "[\"a\",\"a\"]", "[1]" },
        { """{"type":"string","nullable":true}""", "", "null¦\"a\"", "1" },
        { """{"type":"string","maxLength":2147483647}""", "", "\"a\"", "1" },
        { """{"type":"string","format":"regex"}""", "#/properties/a/format", "\"a\"", "1" },
        { """{"type":"string","format":"uri-reference"}""", "", "\"a\"", "\"a b\"" },
        { """{"type":"object","properties":null,"required":null,"additionalProperties":false}""", "#/properties/a/properties¦#/properties/a/required", "{}", "{\"b\":1}¦1" },
        { """{"type":"object","properties":{"b":{"type":"null"}},"required":null,"additionalProperties":null}""", "#/properties/a/additionalProperties¦#/properties/a/required", "{}¦{\"b\":null}", "{\"b\":1}" },
        { """{"type":"array","items":null,"maxItems":1}""", "#/properties/a/items", "[1]¦[\"x\"]", "[1,2]" },
        { """{"type":"string","enum":null}""", "#/properties/a/enum", "\"x\"", "1" },
        { """{"type":null,"enum":["x"]}""", "#/properties/a/type", "\"x\"", "\"y\"" },
        { """{"type":"string","enum":[]}""", "#/properties/a/enum", "\"x\"", "1" },
        { """{"type":"STRING"}""", "", "\"x\"", "1" },
        { """{"type":"integer","minimum":3,"exclusiveMinimum":true}""", "", "4", "3" },
        { """{"type":"string","id":"a","xml":{"name":"b"},"externalDocs":{}}""", "", "\"x\"", "1" },
        { """{"type":"string","foo":1,"maxLength":1}""", "#/properties/a/foo", "\"x\"", "\"xy\"" },
        { """{"$dynamicRef":"#node"}""", "#/properties/a/$dynamicRef", "1¦{}", "x" },
        { """{"type":"array","prefixItems":[{"type":"null"}],"unevaluatedItems":false}""", "#/properties/a/unevaluatedItems", "[null]¦[null,1]", "[1]" },
        { """{"$ref":"https://example.com/schema.json"}""", "#/properties/a/$ref", "1¦{}", "x" },
        { """{"$ref":"#/$defs/missing"}""", "#/properties/a/$ref", "1¦{}", "x" },
        { """{"type":"any"}""", "#/properties/a/type", "1¦\"a\"", "x" },
        { """{"oneOf":[{"type":"string","pattern":"(?=x)"},{"type":"string","minLength":3}]}""", "#/properties/a/oneOf/0/pattern", "\"a\"¦\"abcd\"", "1" },
        { """{"type":"string","not":{"pattern":"(?=x)"}}""", "#/properties/a/not/pattern", "\"a\"", "1" },
        { """{"not":{"foo":1},"type":"integer"}""", "#/properties/a/not/foo", "7", "\"a\"" },
        { """{"type":"object","patternProperties":{"^(?!x)":{"type":"null"}},"additionalProperties":false}""", "#/properties/a/patternProperties/^(?!x)", "{\"b\":null}¦{\"b\":1}", "1" },
        { """{"type":"object","minProperties":3}""", "#/properties/a/minProperties", "{\"b\":1}", "{}" },
        { """{"type":"string","pattern":"^(([a-z]{1,100}){1,100}){1,100}$","maxLength":3}""", "#/properties/a/pattern", "\"b\"", "1¦\"abcd\"" },
        { """{"type":"number","multipleOf":1009}""", "#/properties/a/multipleOf", "5", "\"b\"" },
        { """[1]""", "#/properties/a", "1¦{}", "x" },
        { """{"type":"object","properties":{"b":{"type":"string","format":"iri"},"c":{"type":"integer"}},"required":["c"],"additionalProperties":false}""",
            "#/properties/a/properties/b/format", "{\"b\":\"x\",\"c\":1}", "{\"b\":\"x\"}¦{\"c\":\"1\"}" },
    };

    [Theory]
    [MemberData(nameof(Arguments))]
    public void One_place_is_left_open_and_named_while_the_rest_is_enforced(string argument, string loosened, string accepted, string refused)
    {
        string schema = $"{{\"type\":\"object\",\"properties\":{{\"a\":{argument},\"z\":{{\"type\":\"boolean\"}}}},\"required\":[\"a\"]}}";
        List<string> places = [];
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema(schema, Options(places));
        Assert.Equal(loosened.Length == 0 ? [] : loosened.Split('¦'), places);
        foreach (string value in accepted.Split('¦'))
            Assert.True(ConstraintTesting.Accepts(constraint, $"{{\"a\":{value},\"z\":true}}"), $"{schema} should accept {value}");
        foreach (string value in refused.Split('¦'))
            Assert.False(ConstraintTesting.Accepts(constraint, $"{{\"a\":{value},\"z\":true}}"), $"{schema} should refuse {value}");
        // What stands beside it is enforced as ever.
        Assert.False(ConstraintTesting.Accepts(constraint, $"{{\"a\":{accepted.Split('¦')[0]},\"z\":1}}"));
    }

    [Theory]
    [InlineData("""{"type":"string"}""", "#")]
    [InlineData("""{"$ref":"#"}""", "#")]
    [InlineData("""[]""", "#")]
    [InlineData("""{"anyOf":[{"$ref":"https://example.com/a"}]}""", "#/anyOf/0/$ref")]
    public void A_schema_of_no_use_leaves_any_object(string schema, string loosened)
    {
        List<string> places = [];
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema(schema, Options(places));
        Assert.Equal([loosened], places);
        Assert.True(ConstraintTesting.Accepts(constraint, "{}"));
        Assert.False(ConstraintTesting.Accepts(constraint, "1"));
    }

    [Fact]
    public void Unevaluated_properties_of_arguments_are_enforced_as_those_of_any_object()
    {
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema(
            """{"type":"object","properties":{"a":{"type":"null"}},"unevaluatedProperties":false}""", new JsonSchemaOptions { RootIsObject = true });
        Assert.True(ConstraintTesting.Accepts(constraint, """{"a":null}"""));
        Assert.False(ConstraintTesting.Accepts(constraint, """{"b":null}"""));
    }

    private static JsonSchemaOptions Options(List<string> places) => new() { RootIsObject = true, AllowUndeclaredProperties = false, Loosened = places };
}
