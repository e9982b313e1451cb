using System.CommandLine;
using System.CommandLine.Parsing;
using InferenceServer.Commands;
using InferenceServer.Configuration;
using InferenceServer.Library;

namespace InferenceServer.Operations;

/// <summary>What came of reading the options.</summary>
/// <param name="Options">Null when the process ends here.</param>
/// <param name="ExitCode">What it ends with then.</param>
/// <param name="Message">One line for stderr; null after <c>--help</c>, and after a command.</param>
internal sealed record CommandLineResult(ServerOptions? Options, int ExitCode, string? Message)
{
    /// <summary>server.json as it was read.</summary>
    public ServerConfiguration Configuration { get; init; } = ServerConfiguration.None;
}

/// <summary>
/// Reads the options: command line before environment (INFERENCE_SERVER_CTX_SIZE) before server.json before appsettings.json (section InferenceServer, key ctx-size).
/// Every source goes through the same parser, so all values are checked alike and an error can name where the value stood.
/// </summary>
internal static class CommandLine
{
    public const string SettingsSection = "InferenceServer";
    private const string EnvironmentPrefix = "INFERENCE_SERVER_";
    private const int BadUsage = 2;

    public static CommandLineResult Read(string[] arguments, IConfiguration settings, Func<string, string?> environment)
    {
        OptionTable table = new();
        LibraryCommands.AddTo(table, environment);
        ParseResult given = table.Command.Parse(arguments);
        // Help is given to whoever asks for it, whatever is missing beside it.
        if (given.Action is { ClearsParseErrors: true })
            return new CommandLineResult(null, given.Invoke(), null);
        if (given.Errors.Count > 0)
            return Bad(given.Errors[0].Message);
        bool isServer = given.CommandResult.Command == table.Command;
        if (isServer && given.Action != table.Command.Action)
            return new CommandLineResult(null, given.Invoke(), null);
        ServerConfiguration configuration = ServerConfiguration.None;
        try
        {
            if (table.ConfigPath(given, environment) is { } path)
                configuration = ServerFileReader.Load(path);
        }
        catch (ServerFileException error)
        {
            return Bad(error.Message);
        }
        if (UnknownSetting(table, settings) is { } unknown)
            return Bad($"appsettings.json: {SettingsSection}:{unknown} is no option; see --help");

        List<string> all = [.. arguments];
        foreach (Option option in table.Options)
        {
            // A command has only those options of the server that say where models lie, and those that it says it has.
            if (given.GetResult(option) is { Implicit: false } || (!isServer && !option.Recursive && !given.CommandResult.Command.Options.Contains(option)))
                continue;
            string variable = EnvironmentName(option);
            (string? value, string source) = environment(variable) is { Length: > 0 } text ? (text, variable)
                : configuration.Options.FirstOrDefault(chosen => chosen.Name == option.Name).Values is { } values ? (string.Join(',', values), configuration.Path!)
                : (Setting(settings, option), "appsettings.json");
            if (value is null)
                continue;
            foreach (string one in OptionTable.IsList(option) ? value.Split(',', StringSplitOptions.TrimEntries) : [value])
            {
                string argument = $"{option.Name}={one}";
                if (table.Command.Parse([argument]).Errors is [{ } error, ..])
                    return Bad($"{error.Message} (from {source})");
                all.Add(argument);
            }
        }

        ParseResult complete = table.Command.Parse(all);
        if (!isServer)
            return new CommandLineResult(null, complete.Invoke(), null);
        try
        {
            return new CommandLineResult(table.Read(complete, environment), 0, null) { Configuration = configuration };
        }
        catch (LibraryException error)
        {
            return Bad(error.Message);
        }
    }

    /// <summary>A value, or an array for an option that takes several.</summary>
    private static string? Setting(IConfiguration settings, Option option)
    {
        IConfigurationSection setting = settings.GetSection($"{SettingsSection}:{option.Name[2..]}");
        return setting.Value ?? (OptionTable.IsList(option) && setting.GetChildren().ToArray() is { Length: > 0 } items ? string.Join(',', items.Select(item => item.Value)) : null);
    }

    private static string EnvironmentName(Option option) => EnvironmentPrefix + option.Name[2..].Replace('-', '_').ToUpperInvariant();

    private static string? UnknownSetting(OptionTable table, IConfiguration settings) =>
        settings.GetSection(SettingsSection).GetChildren().Select(setting => setting.Key)
            .FirstOrDefault(key => !table.Options.Any(option => option.Name.Equals($"--{key}", StringComparison.OrdinalIgnoreCase)));

    private static CommandLineResult Bad(string message) => new(null, BadUsage, message.ReplaceLineEndings(" "));
}
