using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace InferenceServer.Library;

/// <summary>A model that is made of others: its weights, and what goes with them.</summary>
public sealed record Modelfile
{
    /// <summary>A reference, a path, or <c>@sha256:...</c> of a blob that was uploaded.</summary>
    public required string From { get; init; }

    public string? System { get; init; }

    /// <summary>In Jinja.</summary>
    public string? Template { get; init; }

    public string? License { get; init; }

    /// <summary>Paths, or <c>@sha256:...</c>.</summary>
    public IReadOnlyList<string> Adapters { get; init; } = [];

    public IReadOnlyDictionary<string, JsonElement> Parameters { get; init; } = new Dictionary<string, JsonElement>();

    /// <summary>Reads Ollama's text: FROM, SYSTEM, PARAMETER, TEMPLATE, ADAPTER, LICENSE; comments with '#'; values bare, in quotes, or in three quotes over several lines.</summary>
    /// <exception cref="LibraryException">A line is wrong; the message names it.</exception>
    public static Modelfile Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string? from = null, system = null, template = null, license = null;
        List<string> adapters = [];
        ModelParameters parameters = new();
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim();
            if (i == 0)
                line = line.TrimStart('\uFEFF');
            if (line.Length == 0 || line[0] == '#')
                continue;
            int number = i + 1;
            (string instruction, string rest) = Word(line);
            switch (instruction.ToUpperInvariant())
            {
                case "FROM":
                    if (from is not null)
                        throw Bad(number, "there is a second FROM");
                    from = Value(lines, ref i, rest, number);
                    break;
                case "SYSTEM":
                    system = Value(lines, ref i, rest, number);
                    break;
                case "TEMPLATE":
                    template = Value(lines, ref i, rest, number);
                    if (IsGoTemplate(template))
                        throw Bad(number, GoTemplate);
                    break;
                case "LICENSE":
                    license = Value(lines, ref i, rest, number);
                    break;
                case "ADAPTER":
                    adapters.Add(Value(lines, ref i, rest, number));
                    break;
                case "PARAMETER":
                    (string name, string value) = Word(rest);
                    if (value.Length == 0)
                        throw Bad(number, "PARAMETER wants a name and a value, such as PARAMETER temperature 0.7");
                    if (parameters.Add(name, Value(lines, ref i, value, number)) is { } fault)
                        throw Bad(number, fault);
                    break;
                case "MESSAGE":
                    throw Bad(number, "MESSAGE is not supported: send example messages with each request");
                case var other:
                    throw Bad(number, $"'{ModelName.Shown(other)}' is no instruction; there are FROM, SYSTEM, PARAMETER, TEMPLATE, ADAPTER and LICENSE");
            }
        }

        return from is { Length: > 0 }
            ? new Modelfile { From = from, System = system, Template = template, License = license, Adapters = adapters, Parameters = parameters.Values }
            : throw new LibraryException(LibraryProblem.Invalid, "the Modelfile has no FROM: say which model it is made of");
    }

    internal const string GoTemplate = "TEMPLATE is written in Go's template language, as Ollama's are; this server renders Jinja. Leave it out to use the model's own template, or write it in Jinja";

    /// <summary>Jinja knows no name that begins with a dot.</summary>
    internal static bool IsGoTemplate(string template)
    {
        for (int at = template.IndexOf("{{", StringComparison.Ordinal); at >= 0; at = template.IndexOf("{{", at + 2, StringComparison.Ordinal))
        {
            ReadOnlySpan<char> inside = template.AsSpan(at + 2).TrimStart('-').TrimStart();
            if (inside.Length > 0 && (inside[0] is '.' or '$' || inside.StartsWith("range ", StringComparison.Ordinal) || inside.StartsWith("end ", StringComparison.Ordinal) || inside.StartsWith("end}", StringComparison.Ordinal)
                || inside.StartsWith("if .", StringComparison.Ordinal) || inside.StartsWith("if (", StringComparison.Ordinal) || inside.StartsWith("if or ", StringComparison.Ordinal) || inside.StartsWith("if and ", StringComparison.Ordinal)))
                return true;
        }

        return false;
    }

    private static (string First, string After) Word(string line)
    {
        int end = line.AsSpan().IndexOfAny(' ', '\t');
        return end < 0 ? (line, "") : (line[..end], line[end..].Trim());
    }

    /// <summary>The rest of a line, or what is quoted, over several lines if there are three quotes.</summary>
    private static string Value(string[] lines, ref int i, string rest, int number)
    {
        const string Three = "\"\"\"";
        if (!rest.StartsWith(Three, StringComparison.Ordinal))
        {
            if (rest.Length == 0)
                throw Bad(number, "a value is missing");
            if (rest[0] != '"')
                return rest;
            return rest.Length >= 2 && rest[^1] == '"' ? rest[1..^1] : throw Bad(number, "a quote is not closed; a value over several lines wants three quotes");
        }

        StringBuilder value = new();
        for (string line = rest[Three.Length..]; ; line = lines[i])
        {
            int end = line.IndexOf(Three, StringComparison.Ordinal);
            if (end >= 0)
            {
                if (line[(end + Three.Length)..].Trim() is { Length: > 0 } after)
                    throw Bad(i + 1, $"'{ModelName.Shown(after)}' follows the closing quotes");
                return value.Append(line.AsSpan(0, end)).ToString();
            }

            value.Append(line).Append('\n');
            if (++i == lines.Length)
                throw Bad(number, "three quotes are opened and not closed");
        }
    }

    private static LibraryException Bad(int line, string why) => new(LibraryProblem.Invalid, string.Create(CultureInfo.InvariantCulture, $"Modelfile, line {line}: {why}"));
}

/// <summary>Ollama's sampling options, checked.</summary>
public sealed class ModelParameters
{
    private static readonly Dictionary<string, bool> IsWhole = new(StringComparer.Ordinal)
    {
        ["num_ctx"] = true,
        ["num_predict"] = true,
        ["num_keep"] = true,
        ["num_batch"] = true,
        ["num_gpu"] = true,
        ["num_thread"] = true,
        ["seed"] = true,
        ["top_k"] = true,
        ["repeat_last_n"] = true,
        ["temperature"] = false,
        ["top_p"] = false,
        ["min_p"] = false,
        ["typical_p"] = false,
        ["repeat_penalty"] = false,
        ["presence_penalty"] = false,
        ["frequency_penalty"] = false,
    };

    private readonly SortedDictionary<string, JsonElement> _values = new(StringComparer.Ordinal);
    private readonly List<string> _stops = [];

    public IReadOnlyDictionary<string, JsonElement> Values => _values;

    /// <summary>Reads what JSON says: numbers by their names, <c>stop</c> as a text or several.</summary>
    /// <param name="refuse">Is told of what cannot be taken over: its name and why.</param>
    public static IReadOnlyDictionary<string, JsonElement> Read(JsonElement settings, Action<string, string> refuse)
    {
        ArgumentNullException.ThrowIfNull(refuse);
        ModelParameters parameters = new();
        if (settings.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty setting in settings.EnumerateObject())
                foreach (JsonElement value in setting.Value.ValueKind == JsonValueKind.Array ? [.. setting.Value.EnumerateArray()] : (JsonElement[])[setting.Value])
                    if (parameters.Add(setting.Name, value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText()) is { } fault)
                        refuse(ModelName.Shown(setting.Name), fault);
        return parameters.Values;
    }

    /// <summary>Takes one; <c>stop</c> may come several times.</summary>
    /// <returns>What is wrong with it; null when nothing is.</returns>
    internal string? Add(string name, string value)
    {
        if (name == "stop")
        {
            if (value.Length is 0 or > 1000 || _stops.Count == 64)
                return "stop wants a text of 1 to 1000 characters, and at most 64 of them";
            _stops.Add(value);
            _values[name] = Element(writer =>
            {
                writer.WriteStartArray();
                foreach (string stop in _stops)
                    writer.WriteStringValue(stop);
                writer.WriteEndArray();
            });
            return null;
        }

        if (!IsWhole.TryGetValue(name, out bool whole))
            return $"'{ModelName.Shown(name)}' is no parameter that this server has; it has stop, {string.Join(", ", IsWhole.Keys)}";
        if (whole && long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer))
            _values[name] = Element(writer => writer.WriteNumberValue(integer));
        else if (!whole && double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number))
            _values[name] = Element(writer => writer.WriteNumberValue(number));
        else
            return $"{name} must be {(whole ? "an integer" : "a number")}; it is '{ModelName.Shown(value)}'";
        return null;
    }

    private static JsonElement Element(Action<Utf8JsonWriter> write)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter writer = new(bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            write(writer);
        using JsonDocument document = JsonDocument.Parse(bytes.ToArray());
        return document.RootElement.Clone();
    }
}
