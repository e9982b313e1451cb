using System.Text.Json;

namespace InferenceServer.Benchmarks;

/// <param name="Work">What was done.</param>
/// <param name="Bar">What is wanted of it.</param>
/// <param name="Measured">What came out.</param>
/// <param name="Met">Whether that is enough.</param>
internal sealed record BenchmarkRow(string Work, string Bar, string Measured, bool Met, Dictionary<string, double> Values);

internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static void Print(IReadOnlyList<BenchmarkRow> rows)
    {
        Console.WriteLine();
        Console.WriteLine("| work | bar | measured | met |");
        Console.WriteLine("|---|---|---|---|");
        foreach (BenchmarkRow row in rows)
            Console.WriteLine($"| {row.Work} | {row.Bar} | {row.Measured} | {(row.Met ? "yes" : "no")} |");
    }

    public static void Write(IReadOnlyList<BenchmarkRow> rows, string path) =>
        File.WriteAllText(path, JsonSerializer.Serialize(rows, Indented));

    public static List<BenchmarkRow> Read(string path) => JsonSerializer.Deserialize<List<BenchmarkRow>>(File.ReadAllText(path))!;

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }
}
