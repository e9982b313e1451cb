namespace InferenceServer.Tests.Docs;

/// <summary>A page under docs/ that a test writes, so that it says what the server does.</summary>
internal static class GeneratedPage
{
    // With this in the environment the pages are written instead of compared.
    public const string WriteVariable = "INFERENCE_SERVER_WRITE_DOCS";

    /// <summary>The line under a page's title; <paramref name="test"/> is the class that writes it.</summary>
    public static string Notice(string test) =>
        $"A test writes this page. Do not edit it. To write it anew: `{WriteVariable}=1 dotnet test -c Release --filter FullyQualifiedName~{test}`.\n\n";

    public static async Task CheckAsync(string file, string written)
    {
        string path = Path.Combine(SharedFolder.RepositoryRoot, "docs", file);
        if (Environment.GetEnvironmentVariable(WriteVariable) is { Length: > 0 })
            await File.WriteAllTextAsync(path, written);
        string kept = File.Exists(path) ? (await File.ReadAllTextAsync(path)).ReplaceLineEndings("\n") : "";
        Assert.True(written == kept, $"docs/{file} is stale from here on; run this test with {WriteVariable}=1:\n{FirstDifference(written, kept)}");
    }

    /// <summary>A text that may stand in a table.</summary>
    public static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");

    private static string FirstDifference(string written, string kept)
    {
        string[] now = written.Split('\n'), before = kept.Split('\n');
        int line = Enumerable.Range(0, now.Length).FirstOrDefault(i => i >= before.Length || now[i] != before[i], now.Length - 1);
        return $"line {line + 1}\n  now    {now[line]}\n  before {(line < before.Length ? before[line] : "")}";
    }
}
