using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace InferenceServer.Tests.Docs;

/// <summary>One metric as /metrics shows it.</summary>
internal sealed record ServedMetric(string Name, string Type, string Help, IReadOnlyList<string> Labels);

/// <summary>Writes docs/metrics.md out of what a running server's /metrics shows.</summary>
internal static partial class MetricsReference
{
    // The first pattern that a name matches decides.
    private static readonly (string Title, string Pattern)[] Sections =
    [
        ("HTTP requests", "^inference_(requests_total|request_duration|time_to_first|inter_token|queue_)"),
        ("Embeddings and ranking", "^inference_embedding_"),
        ("Moderation", "^inference_moderat"),
        ("Retries and resumed streams", "^inference_(replays|readerless|recorded)"),
        ("Stored data", "^inference_store_"),
        ("Fetching models", "^inference_pull"),
        ("Tools of MCP servers", "^inference_mcp_"),
        ("OpenTelemetry's names", "^(gen_ai|http)_"),
        ("Process and runtime", "^(process_(?!resident)|dotnet_)"),
        ("Memory", "_bytes$(?<!cache_bytes|written_bytes)"),
        ("Prefix cache on disk", "^inference_disk_"),
        ("KV pool and prefix cache", "^inference_(kv_|prefix_|host_|restores|evicted|preemptions|checkpoints)"),
        ("Tokens", "^inference_[a-z]+_tokens_total$"),
        ("Engine", "^inference_(engine_|requests_|decode_|lora_|draft_)"),
    ];

    public static string Write(string exposition)
    {
        ServedMetric[] metrics = Read(exposition);
        Assert.All(metrics, metric => Assert.True(metric.Help.Length > 0, $"{metric.Name} has no help"));
        ILookup<string, ServedMetric> sections = metrics.ToLookup(metric =>
            Sections.FirstOrDefault(section => Regex.IsMatch(metric.Name, section.Pattern)).Title ?? throw new InvalidOperationException($"{metric.Name} is in no section of the page"));

        StringBuilder text = new();
        text.Append("# Metrics\n\n").Append(GeneratedPage.Notice(nameof(MetricsReferenceTests)))
            .Append("`GET /metrics` answers in Prometheus' text format. A scrape does no work on the decode thread: the engine publishes a snapshot every 250 ms, and the scrape reads it.\n")
            .Append("Where the server has keys, `/metrics` needs one too. [Operations](operations.md#health-and-metrics) says how to watch a server.\n\n")
            .Append("## Scrape\n\n```yaml\nscrape_configs:\n  - job_name: inference\n    authorization:\n      credentials: KEY   # only where the server has keys\n    static_configs:\n      - targets: [\"127.0.0.1:8080\"]\n```\n\n")
            .Append("## Queries to start with\n\n| question | PromQL |\n|---|---|\n")
            .Append("| How long do users wait for the first token? | `histogram_quantile(0.95, rate(inference_time_to_first_token_seconds_bucket[5m]))` |\n")
            .Append("| How fast do streams run? | `histogram_quantile(0.95, rate(inference_inter_token_seconds_bucket[5m]))` |\n")
            .Append("| How many tokens are generated in a second? | `rate(inference_completion_tokens_total[5m])` |\n")
            .Append("| What share of prompt tokens came from the cache? | `rate(inference_prompt_tokens_total{source=\"cached\"}[5m]) / ignoring(source) sum without(source) (rate(inference_prompt_tokens_total[5m]))` |\n")
            .Append("| How many streams share a step? | `rate(inference_decode_rows_total[5m]) / rate(inference_decode_steps_total[5m])` |\n")
            .Append("| Is the KV pool too small? | `rate(inference_preemptions_total[5m]) > 0` |\n")
            .Append("| Does the server need a restart? | `inference_engine_up == 0` |\n\n");
        foreach ((string title, _) in Sections)
        {
            text.Append(CultureInfo.InvariantCulture, $"## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
            Assert.True(sections.Contains(title), $"no metric is in the section {title}");
            foreach (ServedMetric metric in sections[title].OrderBy(metric => metric.Name, StringComparer.Ordinal))
                text.Append(CultureInfo.InvariantCulture, $"| `{metric.Name}` | {metric.Type} | {string.Join(", ", metric.Labels.Select(label => $"`{label}`"))} | {GeneratedPage.Cell(metric.Help)} |\n");
            text.Append('\n');
        }

        return text.ToString().TrimEnd('\n') + "\n";
    }

    /// <exception cref="InvalidOperationException">A metric has no sample, so that its labels cannot be told.</exception>
    private static ServedMetric[] Read(string exposition)
    {
        Dictionary<string, string> helps = HelpPattern().Matches(exposition).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value);
        return [.. TypePattern().Matches(exposition).Select(match =>
        {
            (string name, string type) = (match.Groups[1].Value, match.Groups[2].Value);
            string sample = type == "histogram" ? $"{name}_count" : name;
            Match first = Regex.Match(exposition, $@"^{sample}(?:\{{(.*)\}})? ", RegexOptions.Multiline);
            return first.Success
                ? new ServedMetric(name, type, helps.GetValueOrDefault(name, ""), [.. LabelPattern().Matches(first.Groups[1].Value).Select(label => label.Groups[1].Value)])
                : throw new InvalidOperationException($"{name} has no sample: give the server of the test something to count");
        })];
    }

    [GeneratedRegex("^# HELP ([a-z_]+) (.*)$", RegexOptions.Multiline)]
    private static partial Regex HelpPattern();

    [GeneratedRegex("^# TYPE ([a-z_]+) ([a-z]+)$", RegexOptions.Multiline)]
    private static partial Regex TypePattern();

    [GeneratedRegex("""([a-z_]+)="[^"]*"(?:,|$)""")]
    private static partial Regex LabelPattern();
}
