using System.ComponentModel;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace InferenceServer.Mcp;

/// <summary>
/// An MCP server as <c>server.json</c> describes it, under its name: a program to start, or an address to call. Its members' names are written in kebab-case there.
/// </summary>
public sealed partial record McpServerEntry
{
    private const int MaxNameLength = 32;
    private const int MostTools = 256;
    private const int MostCharacters = 1 << 16;
    private const int MostBytes = 4 << 20;
    private const int MostConcurrent = 256;
    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    [Description("The program of a server that speaks over its standard streams; null for one that is called over HTTP.")]
    public string? Command { get; set; }

    [Description("The program's arguments.")]
    public IReadOnlyList<string> Args { get; set; } = [];

    [Description("The program's environment beside what every program needs. ${env:NAME} stands for a variable of this process's.")]
    public IReadOnlyDictionary<string, string> Env { get; set; } = new Dictionary<string, string>();

    [Description("The program's working folder; null for this process's.")]
    public string? Cwd { get; set; }

    [Description("The address of a server that is called over HTTP.")]
    public string? Url { get; set; }

    [Description("Sent with every call over HTTP. ${env:NAME} stands for a variable of this process's.")]
    public IReadOnlyDictionary<string, string> Headers { get; set; } = new Dictionary<string, string>();

    [Description("The tools that requests may use, by name; * for all.")]
    public IReadOnlyList<string> Tools { get; set; } = [];

    [Description("Which of them run only once a client has approved the call.")]
    public McpApproval Approval { get; set; } = McpApproval.Never;

    [Description("Most time of one call, the wait for its turn included.")]
    [JsonConverter(typeof(DurationConverter))]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    [Description("Most time until a server that was started or called first can be used: a package runner fetches it first.")]
    [JsonConverter(typeof(DurationConverter))]
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromSeconds(60);

    [Description("Open it when this server starts, and not at its first use.")]
    public bool Start { get; set; }

    [Description("Most tools that are offered; the rest is left out.")]
    public int MaxTools { get; set; } = 64;

    [Description("Most characters of a tool's description; the rest is cut off.")]
    public int MaxDescription { get; set; } = 2048;

    [Description("Most bytes of a result, as UTF-8; the rest is cut off.")]
    public int MaxResult { get; set; } = 64 << 10;

    [Description("Most calls at a time; others wait.")]
    public int MaxConcurrent { get; set; } = 8;

    /// <summary>The first thing that is wrong with it; null where nothing is.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="environment">The value of a variable of this process's; null for none.</param>
    public string? Validate(string name, Func<string, string?> environment)
    {
        string? wrong = NamePattern().IsMatch(name) ? Wrong(environment) : $"its name must be 1 to {MaxNameLength} letters, digits or single '-' and '_'";
        return wrong is null ? null : $"mcp.{name}: {wrong}";
    }

    /// <summary>A text with the variables that it names put in.</summary>
    internal static string Expand(string text, Func<string, string?> environment) => VariablePattern().Replace(text, found => environment(found.Groups[1].Value) ?? "");

    /// <summary>The values of the variables that it names: nothing that is told of it may hold one.</summary>
    internal IReadOnlyList<string> Secrets(Func<string, string?> environment) =>
        [.. Env.Values.Concat(Headers.Values).SelectMany(text => VariablePattern().Matches(text)).Select(found => environment(found.Groups[1].Value))
            .OfType<string>().Where(secret => secret.Length > 0)];

    private string? Wrong(Func<string, string?> environment)
    {
        if (Command is null == Url is null)
            return "it needs either 'command' or 'url'";
        if (Command is { } command && string.IsNullOrWhiteSpace(command))
            return "'command' must name a program";
        if (Url is { } url && !(Uri.TryCreate(url, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https" && address.UserInfo.Length == 0))
            return "'url' must be an address with http or https, without a user or a password; 'headers' is for these";
        if (Command is null && (Args.Count > 0 ? "args" : Env.Count > 0 ? "env" : Cwd is not null ? "cwd" : null) is { } member)
            return $"'{member}' belongs to a server with 'command'";
        if (Url is null && Headers.Count > 0)
            return "'headers' belongs to a server with 'url'";
        if (Cwd is { } folder && !Directory.Exists(folder))
            return $"'cwd' must be a folder; there is none '{folder}'";
        // A null in a list is no null of a member, which the serializer refuses.
        if (Args.Any(argument => argument is null))
            return "'args' must be texts";
        if (Headers.Keys.FirstOrDefault(header => !HeaderPattern().IsMatch(header)) is { } odd)
            return $"'headers' has no valid name in '{odd}'";
        return Values("env", Env, environment) ?? Values("headers", Headers, environment)
            ?? (Tools.Count == 0 || Tools.Any(string.IsNullOrEmpty) ? "'tools' must list the tools that may be used, or '*' for all" : null)
            ?? Range("timeout", Timeout, Longest) ?? Range("start-timeout", StartTimeout, Longest) ?? Range("max-tools", MaxTools, MostTools)
            ?? Range("max-description", MaxDescription, MostCharacters) ?? Range("max-result", MaxResult, MostBytes) ?? Range("max-concurrent", MaxConcurrent, MostConcurrent);
    }

    private static string? Values(string member, IReadOnlyDictionary<string, string> values, Func<string, string?> environment)
    {
        foreach ((string key, string value) in values)
        {
            if (value is null || key.Length == 0 || key.Contains('=') || value.AsSpan().ContainsAny('\0', '\r', '\n'))
                return $"'{member}.{key}' must be one line, under a name without '='";
            if (VariablePattern().Matches(value).Select(found => found.Groups[1].Value).FirstOrDefault(variable => environment(variable) is null) is { } missing)
                return $"'{member}.{key}' names the environment variable {missing}, which is not set";
        }

        return null;
    }

    private static string? Range(string member, int value, int most) => value >= 1 && value <= most ? null : $"'{member}' must be from 1 to {most}; it is {value}";

    private static string? Range(string member, TimeSpan value, TimeSpan most) =>
        value > TimeSpan.Zero && value <= most ? null : $"'{member}' must be above zero and at most {DurationConverter.Write(most)}; it is {DurationConverter.Write(value)}";

    // Two lines join it and a tool's name.
    [GeneratedRegex("^(?=.{1,32}$)[A-Za-z0-9]+([-_][A-Za-z0-9]+)*$")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")]
    private static partial Regex VariablePattern();

    [GeneratedRegex("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
    private static partial Regex HeaderPattern();
}

/// <summary>Which tools run only once a client has approved the call: <c>never</c>, <c>always</c>, or the names of those that do.</summary>
[JsonConverter(typeof(McpApprovalConverter))]
public sealed record McpApproval(bool IsAlways, IReadOnlyList<string> Tools)
{
    public static McpApproval Never { get; } = new(false, []);

    public static McpApproval Always { get; } = new(true, []);

    public bool Covers(string tool) => IsAlways || Tools.Contains(tool);
}

/// <summary>Reads and writes an approval: a word, or an array of names.</summary>
public sealed class McpApprovalConverter : JsonConverter<McpApproval>
{
    public override McpApproval Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        const string Wanted = "must be \"never\", \"always\" or an array of tools' names";
        if (reader.TokenType == JsonTokenType.String)
            return reader.GetString() switch
            {
                "never" => McpApproval.Never,
                "always" => McpApproval.Always,
                _ => throw new JsonException(Wanted),
            };
        if (reader.TokenType != JsonTokenType.StartArray)
            throw new JsonException(Wanted);
        List<string> tools = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            tools.Add(reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException(Wanted));
        return new(false, tools);
    }

    public override void Write(Utf8JsonWriter writer, McpApproval value, JsonSerializerOptions options)
    {
        if (value.Tools.Count == 0)
        {
            writer.WriteStringValue(value.IsAlways ? "always" : "never");
            return;
        }

        writer.WriteStartArray();
        foreach (string tool in value.Tools)
            writer.WriteStringValue(tool);
        writer.WriteEndArray();
    }
}

/// <summary>Reads and writes a time such as <c>500ms</c>, <c>30s</c>, <c>5m</c> or <c>1h</c>.</summary>
public sealed class DurationConverter : JsonConverter<TimeSpan>
{
    private const int Most = 1_000_000;

    // The longer suffix first: "ms" ends in "s".
    private static readonly (string Suffix, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)];

    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        string text = reader.TokenType == JsonTokenType.String ? reader.GetString()! : "";
        foreach ((string suffix, double seconds) in Units)
            if (text.EndsWith(suffix, StringComparison.Ordinal) && int.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= Most)
                return TimeSpan.FromSeconds(number * seconds);
        throw new JsonException("must be a time such as \"500ms\", \"30s\" or \"5m\"");
    }

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) => writer.WriteStringValue(Write(value));

    public static string Write(TimeSpan value)
    {
        (string suffix, double unit) = Units.LastOrDefault(unit => value.TotalSeconds >= unit.Seconds && value.TotalSeconds % unit.Seconds == 0, Units[0]);
        return string.Create(CultureInfo.InvariantCulture, $"{value.TotalSeconds / unit:0}{suffix}");
    }
}
