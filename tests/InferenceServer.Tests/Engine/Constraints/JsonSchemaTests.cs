using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Constraints.JsonSchema;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class JsonSchemaTests
{
    private static CompiledConstraint Compile(string schema) => CompiledConstraint.FromJsonSchema(schema);

    /// <summary>Schema, instances it must accept, instances it must refuse; both lists are separated by "¦".</summary>
    public static TheoryData<string, string, string> Keywords => new()
    {
        { """{"type":"null"}""", "null", "true¦nul¦nulll¦ null" },
        { """{"type":"boolean"}""", "true¦false", "null¦True¦1" },
        { """{"type":"integer"}""", "0¦-1¦123456789012345678", "01¦1.5¦-¦+1¦1e3¦\"1\"¦--1" },
        { """{"type":"number"}""", "0¦-0.5¦1e10¦1.25E-3¦12345.678", "01¦.5¦1.¦1e¦NaN¦Infinity¦1e400" },
        { """{"type":"string"}""", "\"\"¦\"a b\"¦\"é日😀\"¦\"\\n\\u00e9\\ud83d\\ude00\\/\"", "\"¦\"\\x\"¦\"\\ud83d\"¦\"\\ude00\"¦\"\\ud83dx\"¦\"\n\"¦'a'¦\"a\"b\"" },
        { """{"type":["string","null"]}""", "\"a\"¦null", "1¦true¦[]" },
        { """{"const":"a\"b\\c"}""", "\"a\\\"b\\\\c\"", "\"a\"¦\"a\\\"b\\\\cd\"" },
        { """{"const":{"a":[1,"é",null]}}""", "{\"a\":[1,\"é\",null]}", "{\"a\":[1,\"é\"]}¦{}" },
        { """{"enum":["red","green",3,null,true]}""", "\"red\"¦\"green\"¦3¦null¦true", "\"blue\"¦false¦33¦\"redgreen\"" },
        { """{"enum":["é日","\u0001","tab\t"]}""", "\"é日\"¦\"\\u0001\"¦\"tab\\t\"", "\"e\"¦\"\u0001\"" },
        { """{"type":"string","enum":["a",1,null]}""", "\"a\"", "1¦null" },
        { """{"type":"integer","minimum":-5,"maximum":120}""", "-5¦0¦-1¦99¦100¦120¦119", "-6¦121¦1000¦200¦-10¦05" },
        { """{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}""", "1¦9", "0¦10¦-1¦11" },
        { """{"type":"number","minimum":0.5,"maximum":1.25}""", "0.5¦1¦1.25¦0.51¦1.249¦1.250¦0.500", "0.49¦1.26¦1.2501¦0¦2¦10¦1e0¦-1" },
        { """{"type":"number","exclusiveMinimum":-1,"exclusiveMaximum":0}""", "-0.5¦-0.999", "0¦-1¦-1.0¦0.5¦-0" },
        { """{"type":"number","maximum":1e-3}""", "0.001¦-5¦0.0001", "0.0011¦0.01¦1" },
        { """{"type":"integer","minimum":1000000000000000000000}""", "1000000000000000000000", "999999999999999999999¦1" },
        { """{"type":"integer","multipleOf":7,"minimum":-30,"maximum":100}""", "0¦7¦98¦-28¦-7", "1¦99¦-30¦105" },
        { """{"type":"number","multipleOf":0.25,"minimum":0,"maximum":9}""", "0.25¦0.5¦7.75¦9¦3", "0.3¦0.2¦9.25" },
        { """{"type":"integer","not":{"const":5},"minimum":0,"maximum":9}""", "4¦6¦0¦9", "5¦10" },
        { """{"type":"string","minLength":2,"maxLength":3}""", "\"ab\"¦\"日本😀\"¦\"\\n\\u00e9\"¦\"\\ud83d\\ude00x\"", "\"a\"¦\"abcd\"¦\"\"¦\"\\ud83d\\ude00\"" },
        { """{"type":"string","pattern":"^[a-c]{2,3}$"}""", "\"ab\"¦\"abc\"", "\"a\"¦\"abcd\"¦\"xab\"" },
        { """{"type":"string","pattern":"b+"}""", "\"b\"¦\"abba\"¦\"日b\"", "\"a\"¦\"\"" },
        { """{"type":"string","pattern":"^a|b$"}""", "\"ax\"¦\"xb\"", "\"xa\"¦\"bx\"" },
        { """{"type":"string","pattern":"^\"\\\\\\n$"}""", "\"\\\"\\\\\\n\"", "\"a\"" },
        { """{"type":"string","pattern":"^\\p{Lu}\\d\\s?$"}""", "\"É1\"¦\"A1 \"", "\"é1\"¦\"A\"" },
        { """{"type":"string","pattern":"^a*$","minLength":2,"maxLength":3}""", "\"aa\"¦\"aaa\"", "\"a\"¦\"aaaa\"" },
        { """{"type":"string","not":{"pattern":"x"}}""", "\"abc\"¦\"\"", "\"axb\"¦\"x\"" },
        { """{"type":"string","not":{"enum":["a","ab"]}}""", "\"b\"¦\"abc\"¦\"\"", "\"a\"¦\"ab\"" },
        { """{"type":"string","format":"date"}""", "\"2024-02-29\"¦\"1999-12-31\"", "\"2023-02-29\"¦\"2024-04-31\"¦\"2024-13-01\"¦\"24-01-01\"" },
        { """{"type":"string","format":"time"}""", "\"23:59:59Z\"¦\"00:00:00.5+01:30\"", "\"24:00:00Z\"¦\"12:00\"¦\"12:00:00\"" },
        { """{"type":"string","format":"date-time"}""", "\"2024-02-29T12:00:00Z\"", "\"2024-02-30T12:00:00Z\"¦\"2024-02-29 12:00:00Z\"" },
        { """{"type":"string","format":"uuid"}""", "\"123e4567-e89b-12d3-a456-426614174000\"", "\"123e4567e89b12d3a456426614174000\"¦\"g23e4567-e89b-12d3-a456-426614174000\"" },
        { """{"type":"string","format":"email"}""", "\"a.b+c@example.com\"", "\"a@\"¦\"@b\"¦\"a..b@c\"¦\"a@-b\"" },
        { """{"type":"string","format":"ipv4"}""", "\"0.0.0.0\"¦\"255.249.199.9\"", "\"256.0.0.1\"¦\"1.2.3\"¦\"01.2.3.4\"" },
        { """{"type":"string","format":"ipv6"}""", "\"::\"¦\"::1\"¦\"2001:db8::ff00:42:8329\"¦\"1:2:3:4:5:6:7:8\"¦\"::ffff:1.2.3.4\"", "\":\"¦\"1:2\"¦\"1::2::3\"¦\"12345::\"" },
        { """{"type":"string","format":"uri"}""", "\"https://a.b/c?d=e#f\"¦\"urn:x:y\"¦\"mailto:a@b\"¦\"http://[::1]:80/\"", "\"a b\"¦\"//x\"¦\"http://a b\"" },
        { """{"type":"string","format":"hostname"}""", "\"a\"¦\"a-b.example.com\"", "\"-a\"¦\"a-.b\"¦\"a..b\"" },
        { """{"type":"integer","format":"int32"}""", "2147483647¦-2147483648", "2147483648¦-2147483649" },
        { """{"type":"array","items":{"type":"integer"}}""", "[]¦[1]¦[1,2,3]¦[1, 2]", "[1,]¦[,1]¦[\"a\"]¦[1 2]¦[1,,2]" },
        { """{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}""", "[1,2]¦[1,2,3]", "[]¦[1]¦[1,2,3,4]" },
        { """{"type":"array","maxItems":0}""", "[]", "[1]" },
        { """{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}""", "[]¦[\"a\"]¦[\"a\",1]", "[1]¦[\"a\",1,2]¦[\"a\",\"b\"]" },
        { """{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"null"},"minItems":2,"maxItems":3}""", "[\"a\",null]¦[\"a\",null,null]", "[\"a\"]¦[\"a\",null,null,null]¦[null,null]" },
        { """{"type":"array","prefixItems":[{"const":1},{"const":2},{"const":3}],"minItems":1,"maxItems":2}""", "[1]¦[1,2]", "[]¦[1,2,3]¦[2]" },
        { """{"type":"array","items":{"type":["integer","string"]},"contains":{"type":"string"},"maxItems":3}""", "[\"a\"]¦[1,\"a\"]¦[1,2,\"a\"]¦[\"a\",\"b\"]", "[]¦[1]¦[1,2,3]¦[1,2,3,\"a\"]" },
        { """{"type":"array","items":{"enum":[1,2]},"contains":{"const":1},"minContains":2,"maxContains":2,"maxItems":4}""", "[1,1]¦[1,2,1]¦[2,1,1,2]", "[1]¦[1,1,1]¦[2,2]" },
        { """{"type":"array","items":{"enum":["a","b",3]},"uniqueItems":true,"minItems":1}""", "[\"a\"]¦[\"b\",3]¦[3,\"a\",\"b\"]", "[]¦[\"a\",\"a\"]¦[3,3]" },
        { """{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":false}""",
            "{\"a\":1}¦{\"a\":1,\"b\":\"\"}¦{\"a\": 1, \"b\": \"x\"}¦{\n  \"a\": 1\n}", "{}¦{\"b\":\"\"}¦{\"a\":1,\"c\":2}¦{\"a\":1,}¦{\"a\":\"1\"}¦{,\"a\":1}¦{\"a\":1,\"a\":2}" },
        { """{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"boolean"}}""",
            "{}¦{\"a\":1}¦{\"x\":true}¦{\"a\":1,\"x\":true,\"aa\":false}¦{\"x\":true,\"a\":1,\"y\":false}", "{\"a\":true}¦{\"x\":1}¦{\"x\":true,\"a\":true}¦{\"a\":1,\"x\":true,\"a\":1}" },
        { """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"required":["b"],"additionalProperties":false}""",
            "{\"b\":null}¦{\"c\":null,\"b\":null,\"a\":null}¦{\"b\":null,\"c\":null,\"a\":null}¦{\"a\":null, \"b\":null\n}", "{}¦{\"c\":null}¦{\"c\":null,\"a\":null}¦{\"b\":null,\"a\":null,\"b\":null}¦{\"b\":null,}" },
        { """{"type":"object","properties":{"think":{"type":"null"},"x":{"type":"null"},"say":{"type":"null"}},"required":["think","say"],"additionalProperties":false}""",
            "{\"x\":null,\"think\":null,\"say\":null}¦{\"think\":null,\"say\":null,\"x\":null}", "{\"say\":null,\"think\":null}¦{\"think\":null}" },
        { """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":false},"minProperties":1,"maxProperties":2,"additionalProperties":false}""",
            "{\"b\":null}¦{\"b\":null,\"a\":null}", "{}¦{\"c\":null}" },
        { """{"type":"string","nullable":true}""", "null¦\"a\"", "1" },
        { """{"type":"integer","minimum":3,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":false}""", "4¦5", "3¦6" },
        { """{"type":"object","properties":{"a":{"type":"null","required":true},"b":{"type":"null","required":false}},"additionalProperties":false}""", "{\"a\":null}¦{\"b\":null,\"a\":null}", "{}¦{\"b\":null}" },
        { """{"type":"string","maxLength":2147483647}""", "\"a\"", "1" },
        { """{"type":"string","format":"uri-reference"}""", "\"../a?b#c\"¦\"https://x.y:65535/\"¦\"//h/p\"¦\"\"", "\"a b\"¦\"1:b\"¦\"//h:65536\"" },
        { """{"type":"string","format":"byte"}""", "\"\"¦\"YWI=\"¦\"YQ==\"", "\"Y\"¦\"YWI\"" },
        { """{"type":"object","properties":{"a":{"type":"null"}}}""", "{}¦{\"a\":null}¦{\"é\":[1,{}]}¦{\"a\":null,\"b\":{\"c\":[]}}", "{\"a\":1}¦[]" },
        { """{"type":"object","properties":{"a\"é\n":{"type":"null"}},"required":["a\"é\n"],"additionalProperties":false}""", "{\"a\\\"é\\n\":null}", "{\"a\":null}" },
        { """{"type":"object","patternProperties":{"^n_":{"type":"integer"},"_s$":{"type":"integer","minimum":5}},"additionalProperties":false}""",
            "{}¦{\"n_1\":3}¦{\"x_s\":5}¦{\"n_s\":7}", "{\"n_s\":3}¦{\"x_s\":4}¦{\"y\":1}" },
        { """{"type":"object","propertyNames":{"pattern":"^[a-z]+$","maxLength":3},"additionalProperties":{"type":"null"}}""", "{\"abc\":null}¦{}", "{\"abcd\":null}¦{\"A\":null}" },
        { """{"type":"object","propertyNames":{"enum":["x","y"]},"additionalProperties":{"type":"null"}}""", "{\"x\":null}¦{\"y\":null}", "{\"z\":null}" },
        { """{"type":"object","properties":{"a":{},"b":{},"c":{}},"minProperties":2,"maxProperties":2,"additionalProperties":false}""", "{\"a\":1,\"c\":2}¦{\"b\":1,\"c\":2}", "{\"a\":1}¦{}¦{\"a\":1,\"b\":1,\"c\":1}" },
        { """{"type":"object","maxProperties":1,"additionalProperties":{"type":"null"}}""", "{}¦{\"q\":null}", "{\"q\":null,\"r\":null}" },
        { """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"dependentRequired":{"a":["b"]},"additionalProperties":false}""", "{}¦{\"b\":null}¦{\"a\":null,\"b\":null}", "{\"a\":null}" },
        { """{"type":"object","required":["z"]}""", "{\"z\":1}¦{\"z\":{},\"y\":2}", "{}¦{\"y\":1}" },
        { """{"anyOf":[{"type":"string","maxLength":2},{"type":"integer","minimum":5}]}""", "\"ab\"¦5", "\"abc\"¦4" },
        { """{"oneOf":[{"type":"string"},{"type":"integer"}]}""", "\"a\"¦1", "1.5¦null" },
        { """{"oneOf":[{"type":"integer","minimum":0,"maximum":5},{"type":"integer","minimum":3,"maximum":9}]}""", "0¦2¦6¦9", "3¦5¦10" },
        { """{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]}""",
            "{\"k\":\"a\",\"v\":1}¦{\"k\":\"b\"}", "{\"k\":\"c\"}¦{}¦{\"k\":\"a\",\"v\":\"x\"}" },
        { """{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},"b":{"type":"null"}},"required":["b"]}]}""",
            "{\"a\":3,\"b\":null}¦{\"a\":9,\"b\":null,\"z\":1}", "{\"a\":2,\"b\":null}¦{\"a\":3}" },
        { """{"allOf":[{"type":["string","integer"]},{"type":["integer","null"]}]}""", "1", "\"a\"¦null" },
        { """{"not":{"type":["object","array","number","null","boolean"]}}""", "\"a\"", "1¦null¦{}¦true" },
        { """{"type":"object","properties":{"a":{"enum":[1,2]},"b":{"type":"null"}},"additionalProperties":false,"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"required":["b"]},"else":{"properties":{"b":false}}}""",
            "{\"a\":1,\"b\":null}¦{\"a\":2}¦{}", "{\"a\":1}¦{\"a\":2,\"b\":null}¦{\"b\":null}" },
        { """{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}}}""",
            "{\"v\":1,\"next\":null}¦{\"v\":1,\"next\":{\"v\":2,\"next\":null}}", "{\"v\":1}¦{\"v\":1,\"next\":{}}¦{\"v\":1,\"next\":null" },
        { """{"type":"array","items":{"$ref":"#"}}""", "[]¦[[],[[]]]", "[1]¦[[]" },
        { """{"$ref":"#here","$defs":{"x":{"$anchor":"here","type":"null"}}}""", "null", "1" },
        { """true""", "1¦{\"a\":[null]}¦\"\"", "{a}¦tru" },
        { """{"title":"x","description":"y","default":1,"x-order":3}""", "null¦[1,2]", "]" },
    };

    [Theory]
    [MemberData(nameof(Keywords))]
    public void A_keyword_accepts_what_validates_and_refuses_what_does_not(string schema, string accepted, string refused)
    {
        CompiledConstraint constraint = Compile(schema);
        foreach (string text in accepted.Split('¦'))
            Assert.True(ConstraintTesting.Accepts(constraint, text), $"{schema} should accept {text}");
        foreach (string text in refused.Split('¦'))
            Assert.False(ConstraintTesting.Accepts(constraint, text), $"{schema} should refuse {text}");
    }

    [Theory]
    [InlineData("""{"type":"string","pattern":"(?=a)b"}""", "#/pattern", "lookahead")]
    [InlineData("""{"type":"object","properties":{"a":{"pattern":"(a)\\1"}}}""", "#/properties/a/pattern", "backreferences")]
    [InlineData("""{"properties":{"a/b":{"minLenght":1}}}""", "#/properties/a~1b/minLenght", "not supported")]
    [InlineData("""{"type":"strin"}""", "#/type", "unknown type")]
    [InlineData("""{"type":"string","format":"iban"}""", "#/format", "iban")]
    [InlineData("""{"$ref":"#/$defs/missing"}""", "#/$ref", "names nothing")]
    [InlineData("""{"$ref":"https://example.com/s.json"}""", "#/$ref", "outside")]
    [InlineData("""{"$ref":"#"}""", "#", "refers to itself")]
    [InlineData("""{"anyOf":[{"$ref":"#"}]}""", "#", "refers to itself")]
    [InlineData("""{"anyOf":[]}""", "#/anyOf", "not empty")]
    [InlineData("""{"type":"array","uniqueItems":true,"items":{"type":"string"}}""", "#/uniqueItems", "enum")]
    [InlineData("""{"oneOf":[{"type":"array","items":{"type":"string"},"unevaluatedItems":false},{"type":"array"}]}""", "#/oneOf/0/unevaluatedItems", "not supported")]
    [InlineData("""{"type":"object","minProperties":3}""", "#/minProperties", "names")]
    [InlineData("""{"minLength":-1}""", "#/minLength", "whole number")]
    [InlineData("""{"multipleOf":0}""", "#/multipleOf", "above 0")]
    [InlineData("""{"type":"integer","minimum":5,"maximum":4}""", "#", "nothing can satisfy")]
    [InlineData("""{"enum":["\ud800"]}""", "#/enum/0", "surrogate")]
    [InlineData("""{"type":"object","properties":{"a":{"$ref":"#/properties/a"}},"required":["a"]}""", "#/properties/a", "refers to itself")]
    [InlineData("""{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}""", "#", "nothing can satisfy")]
    [InlineData("{", "#", "not valid JSON")]
    [InlineData("[]", "#", "object, true or false")]
    public void What_cannot_be_enforced_is_refused_with_its_path(string schema, string path, string reason)
    {
        ConstraintException error = Assert.Throws<ConstraintException>(() => Compile(schema));
        Assert.Equal(path, error.Path);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type":"string","pattern":"^(([a-z]{1,100}){1,100}){1,100}$"}""")]
    [InlineData("""{"type":"string","pattern":"(a|b)*a(a|b){40}$"}""")]
    [InlineData("""{"type":"string","pattern":"^a{100000}$"}""")]
    public void A_schema_made_to_exhaust_memory_is_refused(string schema) => Assert.Throws<ConstraintException>(() => Compile(schema));

    [Fact]
    public void Long_bounds_that_need_no_automaton_of_their_own_are_accepted()
    {
        CompiledConstraint constraint = Compile("""{"type":"string","minLength":3000,"maxLength":1000000}""");
        Assert.False(ConstraintTesting.Accepts(constraint, $"\"{new string('x', 2999)}\""));
        Assert.True(ConstraintTesting.Accepts(constraint, $"\"{new string('x', 3000)}\""));
        CompiledConstraint counted = Compile("""{"type":"string","pattern":"^[a-z]*(-[0-9]{4})?$","minLength":3,"maxLength":10000}""");
        Assert.False(ConstraintTesting.Accepts(counted, "\"ab\""));
        Assert.True(ConstraintTesting.Accepts(counted, $"\"{new string('x', 10_000)}\""));
        Assert.False(ConstraintTesting.Accepts(counted, $"\"{new string('x', 10_001)}\""));
        Assert.True(ConstraintTesting.Accepts(counted, $"\"{new string('x', 9_995)}-2024\""));
        Assert.False(ConstraintTesting.After(counted, $"\"{new string('x', 9_996)}").IsTokenAllowed(ConstraintTesting.TokenOf("-1")));
        Assert.True(ConstraintTesting.Accepts(Compile("""{"type":"array","maxItems":1000000,"items":{"type":"null"}}"""), "[null,null]"));
    }

    [Fact]
    public void Nesting_stops_at_the_limit_and_the_reply_can_still_be_finished()
    {
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema("true", new JsonSchemaOptions { MaxNesting = 3 });
        Assert.True(ConstraintTesting.Accepts(constraint, "[[[]]]"));
        Assert.False(ConstraintTesting.Accepts(constraint, "[[[[]]]]"));
        Assert.True(ConstraintTesting.Accepts(constraint, "{\"a\":[{\"b\":1}]}"));
        Assert.True(ConstraintTesting.Accepts(CompiledConstraint.FromJsonObject(), string.Concat(Enumerable.Repeat("{\"a\":", 63)) + "{}" + new string('}', 63)));
        Assert.False(ConstraintTesting.Accepts(CompiledConstraint.FromJsonObject(), string.Concat(Enumerable.Repeat("{\"a\":", 64)) + "{}" + new string('}', 64)));
    }

    [Fact]
    public void Undeclared_properties_can_be_closed_by_default()
    {
        CompiledConstraint closed = CompiledConstraint.FromJsonSchema("""{"type":"object","properties":{"a":{"type":"null"}}}""", new JsonSchemaOptions { AllowUndeclaredProperties = false });
        Assert.True(ConstraintTesting.Accepts(closed, "{\"a\":null}"));
        Assert.False(ConstraintTesting.Accepts(closed, "{\"b\":null}"));
    }

    [Fact]
    public void Whitespace_is_bounded()
    {
        CompiledConstraint any = Compile("true");
        Assert.True(ConstraintTesting.Accepts(any, "{\n    \"a\": [\n\t\t1, 2\n]\n}"));
        Assert.False(ConstraintTesting.Accepts(any, "{  \"a\":1}"));
        Assert.False(ConstraintTesting.Accepts(any, "{\n\n\"a\":1}"));
        Assert.False(ConstraintTesting.Accepts(any, "{\n" + new string(' ', 21) + "\"a\":1}"));
        CompiledConstraint compact = CompiledConstraint.FromJsonSchema("true", new JsonSchemaOptions { Whitespace = JsonWhitespace.None });
        Assert.True(ConstraintTesting.Accepts(compact, "{\"a\":[1,2]}"));
        Assert.False(ConstraintTesting.Accepts(compact, "{\"a\": 1}"));
    }
}
