using System.Text;
using InferenceServer.Engine.Constraints;

namespace InferenceServer.Models;

/// <summary>A constraint that cannot be enforced, as a problem that names the place within the request.</summary>
internal static class ConstraintProblems
{
    public const string Code = "invalid_constraint";

    // Whose children are named by the schema's author: there a number is a name, elsewhere it is an index.
    private static readonly string[] NamingKeywords =
        ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependentRequired", "dependencies"];

    /// <param name="param">The field that the constraint came from, unless the error names it.</param>
    public static RequestProblem Explain(ConstraintException error, string param)
    {
        param = error.Part ?? param;
        if (error.Path.StartsWith('#'))
            param += PathOf(error.Path);
        else if (error.Path.StartsWith("choice[", StringComparison.Ordinal))
            param += error.Path["choice".Length..];
        string place = error.Path.StartsWith("line ", StringComparison.Ordinal) ? $", {error.Path}" : "";
        return RequestProblem.Invalid($"{{where}}{place}: {error.Reason}", param, Code);
    }

    /// <summary>A JSON pointer as errors name fields: <c>#/properties/a/anyOf/0</c> is <c>.properties.a.anyOf[0]</c>.</summary>
    public static string PathOf(string pointer)
    {
        string[] parts = pointer.Split('/');
        StringBuilder path = new();
        for (int i = 1; i < parts.Length; i++)
        {
            bool isIndex = parts[i].Length > 0 && parts[i].All(char.IsAsciiDigit) && !NamingKeywords.Contains(parts[i - 1]);
            string name = parts[i].Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            path.Append(isIndex ? $"[{name}]" : $".{name}");
        }

        return path.ToString();
    }
}
