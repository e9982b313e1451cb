// The composition root: options, native library, model, web host. Expected failures end in one line on stderr: exit code 2 for a bad option, 1 for a failed start.

using InferenceServer;
using InferenceServer.Commands;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Store;

if (BackendTrial.Answer(args) is { } tried)
    return tried;

IConfiguration settings;
try
{
    settings = new ConfigurationBuilder()
        .AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true)
        .AddJsonFile(Path.Combine(Directory.GetCurrentDirectory(), "appsettings.json"), optional: true)
        .Build();
}
catch (InvalidDataException error)
{
    return Fail(2, $"appsettings.json cannot be read: {error.InnerException?.Message ?? error.Message}");
}

CommandLineResult command = CommandLine.Read(args, settings, Environment.GetEnvironmentVariable);
if (command.Options is not { } options)
    return command.Message is null ? command.ExitCode : Fail(command.ExitCode, command.Message);

using ILoggerFactory logs = LoggerFactory.Create(logging => ServerHost.ConfigureLogging(logging, LogLevel.Information));
try
{
    ModerationRules rules = options.ModerationRulesPath is { } path ? ModerationRulesReader.Load(path) : ModerationRules.BuiltIn;
    ApiKeyRing keys = ApiKeyRing.Load(options.ApiKeys, options.ApiKeyFile);
    using ModelLibrary? models = options.Library is { } place ? ModelLibrary.Open(place) : null;
    using LiveConfiguration configuration = new(command.Configuration, TimeProvider.System, logs.CreateLogger<LiveConfiguration>());
    (ModelOptions chosen, IReadOnlyList<string> notes) = await NamedModels.ResolveAsync(options.Model, configuration, models, CancellationToken.None);
    LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = options.Backend, Trial = BackendTrial.OfThisProgram() }, logs.CreateLogger<LlamaLibrary>());
    await using LoadedModel model = LoadBar.While(progress => ModelLoader.Load(chosen, library, logs, TimeProvider.System, progress));
    await using LoadedEmbedders embedders = await EmbedderLoader.LoadAsync(chosen, library, model, logs);
    (LoadedEmbedder Loaded, ModerationClassifier Classifier)? classifier = await EmbedderLoader.LoadClassifierAsync(chosen, library, rules, logs);
    await using LoadedEmbedder? judge = classifier?.Loaded;
    await using ModelHost? onDemand = OnDemandModels.Create(options, configuration, models, library, logs);
    await using ServerStore store = ServerStore.Open(options, TimeProvider.System, logs.CreateLogger<ServerStore>());
    await using WebApplication app = ServerHost.Build(new WebHostOptions
    {
        Host = options.Host,
        Port = options.Port,
        Identity = new ServerIdentity($"{library.Description}: {library.Reason}"),
        Devices = () => library.Devices,
        Strict = options.Strict,
        DrainTimeout = options.ShutdownTimeout,
        Store = store,
        Library = models,
        AllowPull = options.AllowPull,
        Configuration = configuration,
        Mcp = command.Configuration.Mcp,
        Moderation = new ModerationGate(rules, options.Moderation, classifier?.Classifier),
        Access = new AccessOptions { Keys = keys, CorsOrigins = options.CorsOrigins, AllowedHosts = options.AllowedHosts },
    }, new ModelCatalogue([model.Served], embedders.Served, judge?.Served) { OnDemand = onDemand, NameOf = name => configuration.Current.NameOf(name) });
    await app.StartAsync();
    foreach (ConfiguredModel preloaded in command.Configuration.Models.Where(entry => entry.IsPreloaded && entry.Name != model.Served.Id))
        _ = onDemand?.PreloadAsync(preloaded.Name);
    Banner.Print(Console.Out, app.Urls.First(), model with { Notes = [.. notes, .. model.Notes] }, embedders.Served, judge?.Served, library, !keys.IsEmpty);
    await app.WaitForShutdownAsync();
    return 0;
}
catch (OperationCanceledException stopped) when (stopped.InnerException is not TimeoutException)
{
    return 0; // Told to stop before it was ready.
}
catch (Exception error) when (StartFailure.Explain(error, options) is { } line)
{
    return Fail(1, line);
}

static int Fail(int code, string line)
{
    Console.Error.WriteLine($"InferenceServer: {line.ReplaceLineEndings(" ")}");
    return code;
}
