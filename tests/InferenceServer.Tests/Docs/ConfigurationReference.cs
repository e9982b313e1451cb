using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using InferenceServer.Configuration;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Docs;

/// <summary>Writes docs/configuration.md out of the option table: what an option accepts is read from its own error message.</summary>
internal static partial class ConfigurationReference
{
    private static readonly (string Name, string Guide, string[] Options)[] Groups =
    [
        ("Model", "[Getting started](getting-started.md) serves a model of your own. [Embeddings and ranking](embeddings.md) describes the second one, and [Models](models.md#lora-adapters) adapters.",
            ["--config", "--model", "--lora", "--chat-template", "--embedding-model"]),
        ("Draft model", "[Models](models.md#a-draft-model) describes what it does.", ["--draft-model", "--draft-max", "--draft-p-min"]),
        ("Library of models", "[Models](models.md) describes names, pulls and the folder.", ["--models-dir", "--hub-endpoint", "--ollama-registry", "--offline", "--allow-pull", "--model-memory", "--keep-alive"]),
        ("Network and access", "[Operations](operations.md#keys) describes keys, and [what a browser may do](operations.md#browsers).",
            ["--host", "--port", "--api-key", "--api-key-file", "--cors-origin", "--allowed-host"]),
        ("Hardware", "[GPU](gpu.md) describes backends and builds.", ["--backend", "--gpu-layers", "--split-mode", "--tensor-split", "--main-gpu", "--cpu-moe", "--n-cpu-moe", "--device-memory", "--threads"]),
        ("KV pool", "[Caching](caching.md) describes the pool and the prefix cache.", ["--ctx-size", "--max-sequences", "--kv-unified", "--deterministic", "--cache-type-k", "--cache-type-v"]),
        ("Prefix cache in memory and on disk", "[Caching](caching.md#tiers) describes the tiers.", ["--cache-ram", "--cache-dir", "--cache-disk"]),
        ("Scheduling", "[Benchmarks](benchmarks.md#what-to-do) says when to change these.", ["--max-queue", "--target-itl-ms", "--batch-size", "--ubatch-size"]),
        ("Stored data", "[Operations](operations.md#data) describes what is kept and how to back it up.", ["--data-dir", "--retention-days", "--data-disk"]),
        ("Moderation", "[Moderation](moderation.md) describes modes, rules and models.", ["--moderation", "--moderation-rules", "--moderation-model"]),
        ("Requests", "[Requests](requests.md) describes what all requests have in common.", ["--strict", "--shutdown-timeout"]),
    ];

    public static string Write()
    {
        OptionTable table = new();
        Dictionary<string, Option> options = table.Options.ToDictionary(option => option.Name);
        Assert.Equal(options.Keys.Order(StringComparer.Ordinal), Groups.SelectMany(group => group.Options).Order(StringComparer.Ordinal));

        StringBuilder text = new();
        text.Append("# Configuration\n\n").Append(GeneratedPage.Notice(nameof(ConfigurationReferenceTests)))
            .Append(Invariant($"The server has {options.Count} options. All have defaults, so it starts without any. `--help` prints the same list.\n\n"))
            .Append("## Sources\n\nAn option comes from one of four places. The first that has it wins:\n\n")
            .Append("1. The command line: `--ctx-size 8192` or `--ctx-size=8192`.\n")
            .Append("2. The environment: `INFERENCE_SERVER_CTX_SIZE=8192`. An option that may be repeated takes its values separated by commas.\n")
            .Append("3. The member `options` of `server.json`, by the option's name without the dashes.\n")
            .Append("4. The section `InferenceServer` of `appsettings.json`. The server reads this file from its own folder and from the current directory; the current directory wins.\n\n")
            .Append("```json\n{\n  \"InferenceServer\": {\n    \"model\": \"/srv/models/chat.gguf\",\n    \"ctx-size\": 32768,\n    \"cors-origin\": [\"https://app.example\", \"https://admin.example\"]\n  }\n}\n```\n\n")
            .Append("A size is a number of bytes with an optional suffix: `K`, `M`, `G`, `T`, `KiB`, `MiB`, `GiB` or `TiB`. All suffixes are powers of 1024.\n\n")
            .Append(ServerJson())
            .Append("## Errors\n\n| exit code | meaning |\n|---|---|\n| 0 | The server was told to stop. |\n| 1 | The start failed. One line on stderr says why. |\n")
            .Append("| 2 | An option is wrong. One line on stderr names it, and the source that it came from. A key of `appsettings.json` that is no option counts as wrong, and so does whatever is wrong in `server.json`. |\n\n");
        foreach ((string name, string guide, string[] members) in Groups)
        {
            text.Append(Invariant($"## {name}\n\n{guide}\n\n| option and environment variable | values | default | meaning |\n|---|---|---|---|\n"));
            foreach (string member in members)
                WriteRow(text, table, options[member]);
            text.Append('\n');
        }

        return text.ToString().TrimEnd('\n') + "\n";
    }

    private static string ServerJson()
    {
        StringBuilder text = new();
        text.Append("## server.json\n\nOne file holds options and models. The server reads `server.json` of the current directory, or the file that `--config` names. Comments and trailing commas are allowed.\n\n")
            .Append("```json\n{\n  \"$schema\": \"./server.schema.json\",\n  \"options\": { \"port\": 8080, \"model-memory\": \"12GiB\" },\n  \"models\": {\n")
            .Append("    \"writer\": {\n      \"model\": \"hf:owner/repo-GGUF:Q4_K_M\",\n      \"aliases\": [\"gpt-4o\"],\n      \"options\": { \"ctx-size\": 16384, \"cache-type-k\": \"q8_0\" },\n")
            .Append("      \"sampling\": { \"temperature\": 0.7, \"top_p\": 0.9 },\n      \"system\": \"Be brief.\",\n      \"pinned\": true\n    },\n    \"embedder\": { \"model\": \"./models/embed.gguf\", \"keep-alive\": 60 }\n  }\n}\n```\n\n")
            .Append("`InferenceServer schema > server.schema.json` writes the schema that editors check and complete the file with. It also lies beside the program.\n")
            .Append("A path counts from the folder of the file.\n\n")
            .Append("The server looks at the file every two seconds. Models, aliases, sampling, system messages, pins and times take effect at once. ")
            .Append("A model whose source or options changed is loaded anew once nobody uses it. The options at the top, and those of the model of the start, take effect at the next start; the log says so. ")
            .Append("A file with a mistake changes nothing: the log names the place, and `inference_config_reloads_total{outcome=\"failed\"}` counts it.\n\n");
        JsonObject schema = JsonNode.Parse(ServerFileSchema.Write())!.AsObject();
        JsonObject file = schema["properties"]!.AsObject(), model = file["models"]!["additionalProperties"]!["properties"]!.AsObject();
        text.Append("| member | meaning |\n|---|---|\n");
        foreach ((string name, JsonNode? member) in file)
            text.Append(Invariant($"| `{name}` | {GeneratedPage.Cell(member!["description"]!.GetValue<string>())} |\n"));
        text.Append("\nA model of `models` has these members:\n\n| member | meaning |\n|---|---|\n");
        foreach ((string name, JsonNode? member) in model)
            text.Append(Invariant($"| `{name}` | {GeneratedPage.Cell(member!["description"]!.GetValue<string>())} |\n"));
        text.Append("\nThese options can be a model's own: ").AppendJoin(", ", model["options"]!["properties"]!.AsObject().Select(option => $"`{option.Key}`"))
            .Append(".\n\n`sampling` takes: ").AppendJoin(", ", model["sampling"]!["properties"]!.AsObject().Select(field => $"`{field.Key}`")).Append(".\n\n");
        return text.ToString();
    }

    private static void WriteRow(StringBuilder text, OptionTable table, Option option)
    {
        Match description = DescriptionPattern().Match(option.Description!);
        string standard = description.Groups["default"] is { Success: true, Value: var said } ? said
            : option.ValueType == typeof(bool) ? "off"
            : option.HasDefaultValue && option.GetDefaultValue() is { } value ? Invariant($"{value}")
            : "none";
        string accepted = Accepted(table, option);
        // The names of a choice are in the next column.
        string valueName = option.HelpName is null || accepted.StartsWith("one of ", StringComparison.Ordinal) ? "" : $" {option.HelpName}";
        text.Append(Invariant($"| `{option.Name}{GeneratedPage.Cell(valueName)}`<br>`{EnvironmentName(option)}` | {GeneratedPage.Cell(accepted)} | {GeneratedPage.Cell(standard)} | {GeneratedPage.Cell(description.Groups["meaning"].Value)} |\n"));
    }

    /// <summary>No option takes the empty text, and each says then what it does take.</summary>
    private static string Accepted(OptionTable table, Option option)
    {
        if (option.ValueType == typeof(bool))
            return "a flag; `true` or `false` in the environment";
        string error = Assert.Single(table.Command.Parse([option.Name, ""]).Errors).Message;
        Match accepted = AcceptedPattern().Match(error);
        Assert.True(accepted.Success, $"{option.Name}: {error}");
        return accepted.Groups[1].Value;
    }

    private static string EnvironmentName(Option option) => "INFERENCE_SERVER_" + option.Name[2..].Replace('-', '_').ToUpperInvariant();

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^(?<meaning>.*?)(?: Default: (?<default>.+)\.)?$", RegexOptions.Singleline)]
    private static partial Regex DescriptionPattern();

    [GeneratedRegex(@"^--[a-z-]+ must be (.+?)(?:; it is '')?$")]
    private static partial Regex AcceptedPattern();
}
