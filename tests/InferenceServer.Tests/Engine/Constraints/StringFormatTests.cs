using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Constraints.JsonSchema;
using Xunit;

namespace InferenceServer.Tests.Engine.Constraints;

public sealed class StringFormatTests
{
    public static TheoryData<string> Names => [.. StringFormats.Names.Split(", ")];

    /// <summary>Guards against values that are whole, and yet too long or with a part that no reader takes.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void What_chance_makes_of_a_format_is_valid_to_a_reader_of_its_own(string format)
    {
        string schema = $$"""{"type":"string","format":"{{format}}"}""";
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema(schema);
        for (int seed = 0; seed < 1_000; seed++)
        {
            // Some end soon, some go on as long as they may.
            string reply = ConstraintTesting.RandomWalk(constraint, new Random(seed), patience: seed % 25 == 0 ? 400 : seed % 40);
            Assert.True(SchemaValidator.IsValid(schema, reply), $"seed {seed}: {reply}");
        }
    }

    [Theory]
    [InlineData("hostname", 253, 254)]
    [InlineData("email", 254, 255)]
    public void A_name_ends_at_its_limit(string format, int accepted, int refused)
    {
        string Value(int length)
        {
            string head = format == "email" ? new string('l', 64) + "@" : "";
            string domain = string.Join('.', Enumerable.Repeat(new string('d', 63), 5))[..(length - head.Length)];
            return $"\"{head}{domain}\"";
        }
        CompiledConstraint constraint = CompiledConstraint.FromJsonSchema($$"""{"type":"string","format":"{{format}}"}""");
        Assert.True(ConstraintTesting.Accepts(constraint, Value(accepted)));
        Assert.False(ConstraintTesting.Accepts(constraint, Value(refused)));
    }
}
