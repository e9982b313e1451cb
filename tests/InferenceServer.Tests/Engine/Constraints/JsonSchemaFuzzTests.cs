using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class JsonSchemaFuzzTests
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Ten batches of fifty schemas; a failure names its seed.</summary>
    public static TheoryData<int> Batches => [.. Enumerable.Range(0, 10)];

    [Theory]
    [MemberData(nameof(Batches))]
    public void Whatever_chance_chooses_among_the_allowed_tokens_parses_and_validates(int batch)
    {
        for (int seed = batch * 50; seed < (batch + 1) * 50; seed++)
        {
            string schema = new SchemaGenerator(new Random(seed)).Generate().Schema.ToJsonString(Readable);
            CompiledConstraint constraint = Compile(schema, seed);
            for (int walk = 0; walk < 3; walk++)
            {
                string reply = ConstraintTesting.RandomWalk(constraint, new Random((seed * 10) + walk));
                try
                {
                    Assert.True(SchemaValidator.IsValid(schema, reply), $"seed {seed}.{walk}: {schema}\nrefuses {reply}");
                }
                catch (JsonException e)
                {
                    Assert.Fail($"seed {seed}.{walk}: {schema}\ndoes not parse: {reply}\n{e.Message}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Batches))]
    public void A_valid_instance_written_compactly_is_accepted_however_it_is_tokenized(int batch)
    {
        for (int seed = batch * 50; seed < (batch + 1) * 50; seed++)
        {
            GeneratedSchema generated = new SchemaGenerator(new Random(seed)).Generate();
            string schema = generated.Schema.ToJsonString(Readable);
            CompiledConstraint constraint = Compile(schema, seed);
            Random random = new(seed);
            for (int sample = 0; sample < 3; sample++)
            {
                string instance = generated.Sample(2);
                Assert.True(SchemaValidator.IsValid(schema, instance), $"the generator is wrong, seed {seed}: {schema}\n{instance}");
                ConstraintState state = ConstraintTesting.Start(constraint);
                foreach (int token in TokenizeAtRandom(instance, random))
                    Assert.True(state.TryAccept(token), $"seed {seed}: {schema}\nstops within {instance} after {state.AcceptedTokens} tokens");
                Assert.True(state.IsComplete, $"seed {seed}: {schema}\nis not complete after {instance}");
            }
        }
    }

    private static CompiledConstraint Compile(string schema, int seed)
    {
        try
        {
            return CompiledConstraint.FromJsonSchema(schema);
        }
        catch (ConstraintException e)
        {
            throw new InvalidOperationException($"seed {seed}: {schema}", e);
        }
    }

    private static List<int> TokenizeAtRandom(string text, Random random)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        List<int> tokens = [];
        for (int at = 0; at < bytes.Length;)
        {
            List<int> fitting = [.. Enumerable.Range(2, ConstraintTesting.TokenBytes.Length - 2).Where(t => bytes.AsSpan(at).StartsWith(ConstraintTesting.TokenBytes[t]))];
            tokens.Add(fitting[random.Next(fitting.Count)]);
            at += ConstraintTesting.TokenBytes[tokens[^1]].Length;
        }
        return tokens;
    }
}
