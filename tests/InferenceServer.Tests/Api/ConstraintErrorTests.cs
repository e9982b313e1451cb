using System.Text.Json;
using InferenceServer.Api;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Constraints;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

public sealed class ConstraintErrorTests
{
    private const string Ok = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";

    public static TheoryData<string, string, string> Refused => new()
    {
        { """ "response_format":{} """, "response_format.type", "missing_required_parameter" },
        { """ "response_format":{"type":"xml"} """, "response_format.type", "invalid_value" },
        { """ "response_format":"json" """, "response_format", "invalid_type" },
        { """ "response_format":{"type":"json_schema"} """, "response_format.json_schema", "missing_required_parameter" },
        { """ "response_format":{"type":"json_schema","json_schema":{"name":"x"}} """, "response_format.json_schema.schema", "missing_required_parameter" },
        { """ "response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}} """, "response_format.json_schema.name", "invalid_value" },
        { """ "response_format":{"type":"json_schema","json_schema":{"name":"x","schema":true}} """, "response_format.json_schema.schema", "invalid_type" },
        { """ "response_format":{"type":"json_schema","json_schema":{"name":"x","strict":"yes","schema":{}}} """, "response_format.json_schema.strict", "invalid_type" },
        { Schema("""{"type":"object","properties":{"x":{"type":"strin"}}}"""), "response_format.json_schema.schema.properties.x.type", "invalid_constraint" },
        { Schema("""{"type":"object","properties":{"x":{"type":"string","pattern":"(?<=a)b"}}}"""), "response_format.json_schema.schema.properties.x.pattern", "invalid_constraint" },
        { Schema("""{"anyOf":[{"type":"null"},{"properties":{"0":{"frobnicate":1}}}]}"""), "response_format.json_schema.schema.anyOf[1].properties.0.frobnicate", "invalid_constraint" },
        { Schema("""{"properties":{"full name":{"$ref":"#/$defs/none"}}}"""), "response_format.json_schema.schema.properties.full name.$ref", "invalid_constraint" },
        { Schema("""{"properties":{"a/b":{"type":"array","uniqueItems":true}}}"""), "response_format.json_schema.schema.properties.a/b.uniqueItems", "invalid_constraint" },
        { Schema("""{"type":"integer","minimum":5,"maximum":4}"""), "response_format.json_schema.schema", "invalid_constraint" },
        { """ "response_format":{"type":"json_object","schema":{"type":7}} """, "response_format.schema.type", "invalid_constraint" },
        { """ "grammar":"root ::= (" """, "grammar", "invalid_constraint" },
        { """ "grammar":"start ::= \"a\"" """, "grammar", "invalid_constraint" },
        { """ "grammar":"root ::= root \"a\" | \"b\"" """, "grammar", "invalid_constraint" },
        { """ "grammar":7 """, "grammar", "invalid_type" },
        { """ "regex":"a(" """, "regex", "invalid_constraint" },
        { """ "regex":"(a)\\1" """, "regex", "invalid_constraint" },
        { """ "choice":[] """, "choice", "invalid_length" },
        { """ "choice":["a",7] """, "choice[1]", "invalid_type" },
        { """ "choice":"a" """, "choice", "invalid_type" },
        { """ "guided_json":"{" """, "guided_json", "invalid_constraint" },
        { """ "guided_json":[] """, "guided_json", "invalid_type" },
        { """ "guided_regex":"[" """, "guided_regex", "invalid_constraint" },
        { """ "structured_outputs":{"grammar":"x"} """, "structured_outputs.grammar", "invalid_constraint" },
        { """ "structured_outputs":{"structural_tag":{}} """, "structured_outputs.structural_tag", "unsupported_parameter" },
        { """ "regex":"a","grammar":"root ::= \"a\"" """, "regex", "invalid_value" },
        { """ "response_format":{"type":"json_object"},"guided_choice":["a"] """, "guided_choice", "invalid_value" },
        { """ "regex":"a","ignore_eos":true """, "ignore_eos", "invalid_value" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task A_constraint_that_cannot_be_enforced_is_refused_with_its_place(string fields, string param, string code)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", $"{{{Ok},{fields}}}"), 400, param, code);
        await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/completions", $"{{\"model\":\"scripted\",\"prompt\":\"x\",{fields}}}"), 400, param, code);
        Assert.Empty(engine.Submitted);
    }

    [Fact]
    public async Task Two_constraints_are_both_named_and_a_grammar_is_told_line_and_column()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement both = await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", $"{{{Ok},\"regex\":\"a\",\"choice\":[\"a\"]}}"), 400, "choice", "invalid_value");
        Assert.Contains("'regex' and 'choice'", both.GetProperty("message").GetString(), StringComparison.Ordinal);
        JsonElement line = await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", $"{{{Ok},\"grammar\":\"root ::= a\\na ::= [b\"}}"), 400, "grammar", "invalid_constraint");
        Assert.Contains("line 2, column 7", line.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plain_text_and_nulls_are_no_constraint_and_unknown_parts_are_reported()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions",
            $"{{{Ok},\"response_format\":{{\"type\":\"text\",\"odd\":1}},\"regex\":null,\"grammar\":null,\"ignore_eos\":true}}");
        Assert.True(answer.IsSuccessStatusCode);
        Assert.Equal("response_format.odd", answer.Headers.GetValues("x-ignored-params").Single());
        Assert.Null(engine.Submitted.Single().Request.Constraint);
    }

    [Fact]
    public async Task A_compilation_that_takes_too_long_is_refused_and_may_be_tried_again()
    {
        ServedConstraints constraints = new(ScriptedVocabulary.Instance) { CompileTimeLimit = TimeSpan.FromMilliseconds(1) };
        int tries = 0;
        ConstraintSource slow = new("grammar", "slow", cancellation =>
        {
            tries++;
            cancellation.WaitHandle.WaitOne();
            cancellation.ThrowIfCancellationRequested();
            return ConstraintPart.JsonObject;
        });
        for (int i = 1; i <= 2; i++)
        {
            RequestProblem refused = await Assert.ThrowsAsync<RequestProblem>(() => constraints.CompileAsync(slow, CancellationToken.None));
            Assert.Equal((ProblemKind.Invalid, "grammar", i), (refused.Kind, refused.Where, tries));
        }
    }

    /// <summary>Sources whose compilation would take minutes or memory without end must stop at the limits.</summary>
    [Theory]
    [InlineData("schema")]
    [InlineData("references")]
    [InlineData("grammar")]
    [InlineData("regex")]
    public async Task A_hostile_source_is_refused_in_time(string kind)
    {
        string deep = string.Concat(Enumerable.Range(0, 3000).Select(i => $"\"d{i}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/d{i + 1}\"}}]}},"));
        string unions = string.Join(',', Enumerable.Range(0, 9).Select(i => $"{{\"anyOf\":[{string.Join(',', Enumerable.Range(0, 9).Select(j => $"{{\"properties\":{{\"p{i}{j}\":{{\"pattern\":\"(a|b)*a(a|b){{7}}\"}}}}}}"))}]}}"));
        ConstraintSource source = kind switch
        {
            "schema" => new("s", kind, c => ConstraintPart.JsonSchema($"{{\"oneOf\":[{unions}]}}", null, c)),
            "references" => new("s", kind, c => ConstraintPart.JsonSchema($"{{\"$ref\":\"#/$defs/d0\",\"$defs\":{{{deep}\"d3000\":{{\"frobnicate\":1}}}}}}", null, c)),
            "grammar" => new("g", kind, _ => ConstraintPart.Gbnf(
                "root ::= r0\n" + string.Concat(Enumerable.Range(0, 8000).Select(i => $"r{i} ::= r{i + 1} \"x\" | (r{i + 1} r{i + 1})?\n")) + "r8000 ::= \"y\"?")),
            _ => new("r", kind, _ => ConstraintPart.Regex("(((a{1,90}){1,90}){1,90}b?){1,90}")),
        };
        ServedConstraints constraints = new(ScriptedVocabulary.Instance) { CompileTimeLimit = TimeSpan.FromMilliseconds(100) };
        await Assert.ThrowsAsync<RequestProblem>(() => constraints.CompileAsync(source, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task Equal_sources_are_compiled_once_and_only_so_many_are_remembered()
    {
        ServedConstraints constraints = new(ScriptedVocabulary.Instance);
        int compiled = 0;
        ConstraintSource Source(int i) => new("regex", $"regex {i}", _ =>
        {
            Interlocked.Increment(ref compiled);
            return ConstraintPart.Regex($"a{{{i}}}");
        });
        ServedConstraint[] same = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => constraints.CompileAsync(Source(1), CancellationToken.None)));
        Assert.Equal(1, compiled);
        Assert.All(same, constraint => Assert.Same(same[0].Constraint.Grammar, constraint.Constraint.Grammar));
        for (int i = 2; i < 300; i++)
        {
            await constraints.CompileAsync(Source(i), CancellationToken.None);
            await constraints.CompileAsync(Source(1), CancellationToken.None);
        }
        Assert.Equal((299, 256), (compiled, constraints.Count));
    }

    private static string Schema(string schema) => $"\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"x\",\"schema\":{schema}}}}}";
}
