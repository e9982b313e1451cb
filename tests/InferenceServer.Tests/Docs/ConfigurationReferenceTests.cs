using System.Text.RegularExpressions;
using InferenceServer.Configuration;
using InferenceServer.Operations;
using Microsoft.Extensions.Configuration;

namespace InferenceServer.Tests.Docs;

/// <summary>docs/configuration.md against the option table.</summary>
public sealed partial class ConfigurationReferenceTests
{
    [Fact]
    public Task The_page_lists_every_option() => GeneratedPage.CheckAsync("configuration.md", ConfigurationReference.Write());

    [Fact]
    public Task The_schema_beside_the_program_is_that_of_the_contracts() => GeneratedPage.CheckAsync("../src/InferenceServer/server.schema.json", ServerFileSchema.Write());

    [Fact]
    public void The_environment_variables_of_the_page_are_those_that_the_server_reads()
    {
        SortedSet<string> read = new(StringComparer.Ordinal);
        CommandLine.Read([], new ConfigurationBuilder().Build(), name =>
        {
            // The others are those of Hugging Face's and Ollama's own tools.
            if (name.StartsWith("INFERENCE_SERVER_", StringComparison.Ordinal))
                read.Add(name);
            return null;
        });
        Assert.Equal(read, RowPattern().Matches(ConfigurationReference.Write()).Select(row => row.Groups[1].Value).Order(StringComparer.Ordinal));
    }

    [GeneratedRegex(@"^\| `--[^`]+`<br>`([A-Z_]+)`", RegexOptions.Multiline)]
    private static partial Regex RowPattern();
}
