using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Chat;
using InferenceServer.Library;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Configuration;

/// <summary>Reads and checks server.json. Whatever is wrong in it is one line that names the place.</summary>
internal static partial class ServerFileReader
{
    /// <summary>What is read from the current directory where nothing else is named.</summary>
    public const string DefaultName = "server.json";

    private const long MaxBytes = 1 << 20;
    private const int MaxModels = 256, MaxAliases = 32, MaxStops = 16, MaxText = 64 << 10;
    // Of these the serializer names the type of the object that they are in.
    private static readonly string[] Texts = [".model", ".system", ": $schema"];
    private const string MaxTokens = "max_tokens", Stop = "stop", Seed = "seed";

    /// <summary>Members of <c>sampling</c> beside <see cref="SamplingFields"/>.</summary>
    public static IReadOnlyList<string> OtherSampling { get; } = [MaxTokens, Stop, Seed];

    /// <exception cref="ServerFileException">It cannot be read, or something in it is wrong.</exception>
    public static ServerConfiguration Load(string path)
    {
        byte[] bytes;
        try
        {
            FileInfo file = new(path);
            if (file.Length > MaxBytes)
                throw new ServerFileException($"{path} has {file.Length} bytes; at most {MaxBytes} are read");
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ServerFileException($"{path} cannot be read: {error.Message}", error);
        }
        return Read(bytes, path);
    }

    /// <param name="path">For errors, and as the folder that relative paths in it count from.</param>
    /// <exception cref="ServerFileException">Something in it is wrong.</exception>
    public static ServerConfiguration Read(ReadOnlySpan<byte> json, string path)
    {
        ServerFile file;
        try
        {
            // Editors on Windows write one.
            ReadOnlySpan<byte> mark = Encoding.UTF8.Preamble;
            file = JsonSerializer.Deserialize(json.StartsWith(mark) ? json[mark.Length..] : json, ServerFileJson.Default.ServerFile)
                ?? throw new ServerFileException($"{path} must be an object");
        }
        catch (JsonException error)
        {
            throw new ServerFileException(Explain(error, path), error);
        }
        Place place = new(path, "");
        if (file.Models.Count > MaxModels)
            throw place.At("models").Wrong($"may have at most {MaxModels} models; it has {file.Models.Count}");
        OptionTable table = new();
        ServerConfiguration read = new(Path.GetFullPath(path))
        {
            Options = [.. file.Options.Select(option => (option.Key, Values: ReadOption(table, option.Key, option.Value, ofModel: false, place.At("options", option.Key)))).Select(option => ($"--{option.Key}", option.Values))],
            Models = [.. file.Models.Select(model => ReadModel(table, model.Key, model.Value, place.At("models", model.Key)))],
            Mcp = file.Mcp.ToDictionary(server => server.Key, server => ReadServer(server.Key, server.Value, place)),
        };
        CheckNames(read, place.At("models"));
        return read;
    }

    private static ConfiguredModel ReadModel(OptionTable table, string name, ModelEntry entry, Place place)
    {
        if (name.Length is 0 or > 128 || name.Any(c => char.IsControl(c) || char.IsWhiteSpace(c)))
            throw place.Wrong("is no name for a model: it needs 1 to 128 characters, and no white space");
        if (entry.Aliases.Count > MaxAliases)
            throw place.At("aliases").Wrong($"may have at most {MaxAliases} names; it has {entry.Aliases.Count}");
        if (entry.Aliases.FirstOrDefault(alias => alias is null or "" || alias.Length > 128) is { } bad)
            throw place.At("aliases").Wrong($"must have names of 1 to 128 characters; one is '{Shown(bad)}'");
        try
        {
            _ = ModelReference.Parse(entry.Model);
        }
        catch (LibraryException error)
        {
            throw new ServerFileException($"{place.At("model")}: {error.Message}", error);
        }
        if (entry.KeepAlive is < -1 or > 31_536_000)
            throw place.At("keep-alive").Wrong($"must be an integer from -1 to 31536000; it is {entry.KeepAlive}");
        if (entry.System is { Length: > MaxText })
            throw place.At("system").Wrong($"may have at most {MaxText} characters; it has {entry.System.Length}");
        return new(name, FromFolder("MODEL", entry.Model, place), entry.Aliases,
            [.. entry.Options.SelectMany(option => ReadOption(table, option.Key, option.Value, ofModel: true, place.At("options", option.Key)).Select(value => $"--{option.Key}={value}"))],
            ReadSampling(entry.Sampling, place.At("sampling")) with { System = entry.System })
        {
            IsPinned = entry.Pinned,
            IsPreloaded = entry.Preload,
            KeepAlive = entry.KeepAlive switch
            {
                null => null,
                < 0 => Timeout.InfiniteTimeSpan,
                var seconds => TimeSpan.FromSeconds(seconds.Value),
            },
        };
    }

    private static McpServerEntry ReadServer(string name, McpServerEntry? entry, Place place)
    {
        if (entry is null)
            throw place.At("mcp", name).Wrong("must be an object");
        if (entry.Cwd is { } folder)
            entry.Cwd = FromFolder("DIR", folder, place);
        return entry.Validate(name, Environment.GetEnvironmentVariable) is { } wrong ? throw new ServerFileException($"{place.File}: {wrong}") : entry;
    }

    /// <summary>The values of an option as a command line has them, checked as there.</summary>
    private static List<string> ReadOption(OptionTable table, string name, JsonElement value, bool ofModel, Place place)
    {
        System.CommandLine.Option? option = table.Options.FirstOrDefault(known => known.Name == $"--{name}");
        if (option is null || option == table.Config)
            throw place.Wrong("is no option; see --help");
        if (ofModel && !table.OfOneModel.Contains(option))
            throw place.Wrong("is an option of the whole server: it belongs into the options at the top");
        if (option is System.CommandLine.Option<bool> && value.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
            throw place.Wrong("must be true or false");
        List<string> values = value.ValueKind == JsonValueKind.Array && OptionTable.IsList(option)
            ? [.. value.EnumerateArray().Select((one, i) => FromFolder(option.HelpName, Text(one, place.At(i)), place))]
            : [option is System.CommandLine.Option<bool> ? value.GetRawText() : FromFolder(option.HelpName, Text(value, place), place)];
        foreach (string one in values)
            if (table.Command.Parse([$"--{name}={one}"]).Errors is [{ } error, ..])
                throw new ServerFileException($"{place}: {error.Message}");
        return values;
    }

    private static string Shown(string? text) => text is null ? "null" : new string([.. text.Take(60).Select(c => char.IsControl(c) ? '?' : c)]);

    /// <summary>A path counts from the folder of the file.</summary>
    private static string FromFolder(string? kind, string value, Place place)
    {
        if (kind is OptionTable.AdapterForm && value.IndexOf('=', StringComparison.Ordinal) is > 0 and var end)
            return value[..(end + 1)] + FromFolder("FILE", value[(end + 1)..], place);
        bool isPath = value.Length > 0 && (kind is "FILE" or "DIR" || (kind is "DIR|off" && value != "off") || (kind is "MODEL" && (value[0] == '.' || value.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) && !ModelReference.IsRemote(value)));
        return isPath ? Path.Combine(Path.GetDirectoryName(Path.GetFullPath(place.File))!, value) : value;
    }

    private static string Text(JsonElement value, Place place) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.True => "on",
        JsonValueKind.False => "off",
        _ => throw place.Wrong("must be a text, a number, true or false"),
    };

    private static ModelSettings ReadSampling(IReadOnlyDictionary<string, JsonElement> sampling, Place place)
    {
        List<(SamplingField, double)> fields = [];
        ModelSettings settings = new();
        foreach ((string name, JsonElement value) in sampling)
        {
            Place here = place.At(name);
            if (SamplingFields.Find(name) is { } field)
                fields.Add((field, Number(value, field.Least, field.Most, field.IsWhole, here)));
            else if (name == MaxTokens)
                settings = settings with { MaxOutputTokens = (int)Number(value, 1, int.MaxValue, isWhole: true, here) };
            else if (name == Seed)
                settings = settings with { Seed = (long)Number(value, long.MinValue, long.MaxValue, isWhole: true, here) };
            else if (name == Stop)
                settings = settings with { StopSequences = Stops(value, here) };
            else
                throw here.Wrong($"is no field of sampling; there are {string.Join(", ", SamplingFields.All.Select(known => known.Name).Concat(OtherSampling))}");
        }
        return settings with { Sampling = fields };
    }

    private static double Number(JsonElement value, double least, double most, bool isWhole, Place place) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= least && number <= most && (!isWhole || double.IsInteger(number))
            ? number
            : throw place.Wrong(string.Create(CultureInfo.InvariantCulture, $"must be {(isWhole ? "an integer" : "a number")} from {least} to {most}; it is {value.GetRawText()}"));

    private static List<string> Stops(JsonElement value, Place place)
    {
        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        return items.Length <= MaxStops && Array.TrueForAll(items, item => item.ValueKind == JsonValueKind.String && item.GetString() is { Length: > 0 and <= 256 })
            ? [.. items.Select(item => item.GetString()!)]
            : throw place.Wrong($"must be a text of 1 to 256 characters, or up to {MaxStops} of them");
    }

    /// <summary>A name means one model.</summary>
    private static void CheckNames(ServerConfiguration read, Place place)
    {
        List<(string Name, string Owner)> names = [];
        foreach (ConfiguredModel model in read.Models)
            foreach (string name in (IEnumerable<string>)[model.Name, .. model.Aliases])
            {
                if (names.Find(known => ModelCatalogue.IsNamed(known.Name, name)) is { Owner: { } owner })
                    throw place.At(model.Name).Wrong($"is called '{name}', and so is {(owner == model.Name ? "it itself, for the second time" : $"'{owner}'")}");
                names.Add((name, model.Name));
            }
    }

    /// <summary>The serializer's message in the words of whoever wrote the file.</summary>
    private static string Explain(JsonException error, string path)
    {
        string where = error.LineNumber is { } line ? string.Create(CultureInfo.InvariantCulture, $"{path}, line {line + 1}") : path;
        string member = error.Path is { } found && found.StartsWith("$.", StringComparison.Ordinal) ? $": {found[2..]}" : "";
        // What it says of the place in its own words comes after this.
        int details = error.Message.IndexOf(" Path: ", StringComparison.Ordinal);
        string message = details < 0 ? error.Message : error.Message[..details];
        if (UnknownMember().Match(message) is { Success: true } unknown)
            return $"{where}{member}: there is no member '{unknown.Groups[1].Value}'; the schema beside this program lists those there are";
        if (MissingMember().Match(message) is { Success: true } missing)
            return $"{where}{member}: '{missing.Groups[1].Value}' is required";
        if (message.Contains("uplicate", StringComparison.Ordinal))
            return $"{where}{member} is there twice";
        if (WrongType().Match(message) is { Success: true } wrong)
            return $"{where}{member} must be {(Array.Exists(Texts, text => member.EndsWith(text, StringComparison.Ordinal)) ? "a text" : Words(wrong.Groups[1].Value))}";
        // A converter of ours says what it wants.
        return message.StartsWith("must be ", StringComparison.Ordinal) ? $"{where}{member} {message}" : $"{where}{member} is no JSON: {message}";
    }

    private static string Words(string type) => type switch
    {
        _ when type.Contains("Dictionary", StringComparison.Ordinal) || type.Contains("Entry", StringComparison.Ordinal) || type.Contains("ServerFile", StringComparison.Ordinal) => "an object",
        _ when type.Contains("List", StringComparison.Ordinal) => "an array of texts",
        _ when type.Contains("Boolean", StringComparison.Ordinal) => "true or false",
        _ when type.Contains("Int32", StringComparison.Ordinal) => "an integer",
        _ => "a text",
    };

    [GeneratedRegex("JSON property '([^']*)' could not be mapped")]
    private static partial Regex UnknownMember();

    [GeneratedRegex("missing required properties[^']*'([^']*)'")]
    private static partial Regex MissingMember();

    [GeneratedRegex(@"could not be converted to (.+?)\.?\z")]
    private static partial Regex WrongType();

    /// <summary>A place in the file, as errors name it.</summary>
    private readonly record struct Place(string File, string Path)
    {
        public Place At(params ReadOnlySpan<string> members)
        {
            string path = Path;
            foreach (string member in members)
                path = path.Length == 0 ? member : $"{path}.{member}";
            return this with { Path = path };
        }

        public Place At(int item) => this with { Path = $"{Path}[{item}]" };

        public ServerFileException Wrong(string why) => new($"{this} {why}");

        public override string ToString() => $"{File}: {Path}";
    }
}
