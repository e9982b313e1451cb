using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Commands;

/// <summary>What pull says with --json: a line now and then, and one at the end.</summary>
/// <param name="Status">reading, waiting, downloading, verifying, writing, success.</param>
internal sealed record PullLine(string Status, string? File = null, long? Completed = null, long? Total = null, double? BytesPerSecond = null, double? SecondsLeft = null, string? Note = null, ModelManifest? Model = null);

/// <summary>What show says with --json.</summary>
internal sealed record ShownModel(ModelManifest Model, string? Path, string? Problem);

/// <summary>What a failed command says with --json.</summary>
internal sealed record CommandFailure(string Error, string Code);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(PullLine))]
[JsonSerializable(typeof(ShownModel))]
[JsonSerializable(typeof(IReadOnlyList<ModelManifest>))]
[JsonSerializable(typeof(IReadOnlyList<ModelRemoval>))]
[JsonSerializable(typeof(IReadOnlyList<FileCheck>))]
[JsonSerializable(typeof(CommandFailure))]
[JsonSerializable(typeof(IReadOnlyList<DeviceLine>))]
[JsonSerializable(typeof(ModelPlan))]
internal sealed partial class CommandJson : JsonSerializerContext
{
    public static CommandJson Shown { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

/// <summary>The commands that care for the library, beside the server itself. Results go to stdout, progress and errors to stderr.</summary>
internal static class LibraryCommands
{
    // As shells count a process that SIGINT ended.
    private const int Interrupted = 130;

    public static void AddTo(OptionTable table, Func<string, string?> environment)
    {
        IEnumerable<CompletionItem> Names(CompletionContext context)
        {
            try
            {
                if (table.ReadLibrary(context.ParseResult, environment) is not { } options)
                    return [];
                using ModelLibrary library = ModelLibrary.Open(options);
                return library.List().Select(manifest => new CompletionItem(ModelName.Parse(manifest.Name).Display));
            }
            catch (LibraryException)
            {
                return [];
            }
        }

        Argument<string> Model(string description, bool completes = true)
        {
            Argument<string> argument = new("MODEL") { Description = description };
            if (completes)
                argument.CompletionSources.Add(Names);
            return argument;
        }

        table.CompleteModels(Names);
        Dictionary<Command, string[]> examples = [];
        Option<bool> json = new("--json") { Description = "Write JSON to stdout." };
        Option<string?> name = new("--name") { HelpName = "NAME", Description = "What the library calls it: [owner/]name[:tag]." };

        Argument<string> remote = Model("hf:owner/repo[:quant], ollama:name[:tag]; owner/repo is Hugging Face's, and name alone Ollama's.", completes: false);
        Add("pull", "Fetch a model into the library. A pull that ends early goes on where it ended. Where no quant is named, the best that fits into memory is taken.",
            ["pull hf:owner/repo-GGUF", "pull hf:owner/repo-GGUF:Q4_K_M --name chat"], [remote], [name], async (call, library) =>
        {
            string model = call.Parsed.GetValue(remote)!;
            ModelManifest pulled = await call.WithProgressAsync(progress => library.PullAsync(new PullRequest(model, call.Parsed.GetValue(name), FreeMemory.For(model)), progress, call.Cancellation));
            call.Write(new PullLine("success", Model: pulled), CommandJson.Shown.PullLine, text =>
            {
                text.WriteLine($"{ModelName.Parse(pulled.Name).Display} is in the library: {pulled.Files.Count} {(pulled.Files.Count == 1 ? "file" : "files")}, {ByteText.Of(pulled.SizeBytes)}. Serve it with: InferenceServer --model {ModelName.Parse(pulled.Name).Display}");
                foreach (string note in pulled.Notes)
                    text.WriteLine($"note: {Plain(note)}");
            });
            return 0;
        });

        Add("list", "Show the models of the library.", ["list", "list --json"], [], [], (call, library) =>
        {
            IReadOnlyList<ModelManifest> models = library.List((file, why) => Console.Error.WriteLine($"InferenceServer: manifests/{file} is damaged: {why}. Delete it, and pull the model again"));
            call.Write(models, CommandJson.Shown.IReadOnlyListModelManifest, text => WriteTable(text, models));
            return Task.FromResult(0);
        });

        Argument<string> shown = Model("A model of the library.");
        Add("show", "Show what the library knows of a model: its files, its source, and what goes with it.", ["show chat", "show chat --json"], [shown], [], (call, library) =>
        {
            ModelManifest manifest = library.Show(call.Parsed.GetValue(shown)!);
            (string? path, string? problem) = (null, null);
            try
            {
                path = library.Resolve(manifest.Name).Path;
            }
            catch (LibraryException missing)
            {
                problem = missing.Message;
            }

            call.Write(new ShownModel(manifest, path, problem), CommandJson.Shown.ShownModel, text => WriteModel(text, manifest, path, problem));
            return Task.FromResult(0);
        });

        Argument<string[]> removed = new("MODEL") { Description = "Models of the library.", Arity = ArgumentArity.OneOrMore };
        removed.CompletionSources.Add(Names);
        Add("rm", "Delete models, and the files that no other model needs. Servers keep what they have loaded.", ["rm chat", "rm owner/repo:Q4_K_M other"], [removed], [], async (call, library) =>
        {
            List<ModelRemoval> removals = [];
            // All or none, as far as names go.
            string[] names = [.. call.Parsed.GetValue(removed)!.Select(each => library.Show(each).Name).Distinct()];
            foreach (string each in names)
                removals.Add(await library.RemoveAsync(each, call.Cancellation));
            call.Write(removals, CommandJson.Shown.IReadOnlyListModelRemoval, text => removals.ForEach(removal => text.WriteLine($"{removal.Name} is deleted; {ByteText.Of(removal.FreedBytes)} are free again.")));
            return 0;
        });

        Argument<string> from = Model("A model of the library."), to = new("NAME") { Description = "Its second name." };
        Add("cp", "Give a model a second name. No file is copied.", ["cp owner/repo:Q4_K_M chat", "cp chat chat:backup"], [from, to], [], async (call, library) =>
            call.WriteModel(await library.CopyAsync(call.Parsed.GetValue(from)!, call.Parsed.GetValue(to)!, call.Cancellation)));

        Argument<string> created = new("NAME") { Description = "What the library calls it." };
        Option<string> file = new("--file", "-f") { HelpName = "FILE", Description = "The Modelfile; - reads stdin.", DefaultValueFactory = _ => "Modelfile" };
        Add("create", "Make a model of another with Ollama's Modelfile: FROM, SYSTEM, PARAMETER, TEMPLATE (in Jinja), ADAPTER, LICENSE.", ["create kind -f Modelfile", "create kind -f - < Modelfile"], [created], [file], async (call, library) =>
        {
            string path = call.Parsed.GetValue(file)!;
            Modelfile modelfile = Modelfile.Parse(await ReadTextAsync(path, call.Cancellation));
            ModelManifest made = await call.WithProgressAsync(progress => library.CreateAsync(call.Parsed.GetValue(created)!, Anchor(modelfile, path), allowPaths: true, FreeMemory.For(modelfile.From), progress, call.Cancellation));
            return call.WriteModel(made);
        });

        Argument<string> imported = new("PATH") { Description = "A GGUF file; of a split model the first part." };
        Option<bool> copy = new("--copy") { Description = "Copy the file, even where a second name for it would do." };
        Add("import", "Take a GGUF file of this machine into the library, without a copy where the disk allows.", ["import ~/models/chat.gguf", "import chat-00001-of-00003.gguf --name chat --copy"], [imported], [name, copy], async (call, library) =>
            call.WriteModel(await call.WithProgressAsync(progress => library.ImportAsync(call.Parsed.GetValue(imported)!, call.Parsed.GetValue(name), call.Parsed.GetValue(copy), progress, call.Cancellation))));

        Argument<string?> verified = new("MODEL") { Description = "A model of the library; all if absent.", Arity = ArgumentArity.ZeroOrOne };
        verified.CompletionSources.Add(Names);
        Add("verify", "Read the files of the library and compare their hashes. What is damaged is set aside, and the next pull fetches it anew.", ["verify", "verify chat --json"], [verified], [], async (call, library) =>
        {
            IReadOnlyList<FileCheck> checks = await call.WithProgressAsync(progress => library.VerifyAsync(call.Parsed.GetValue(verified), progress, call.Cancellation));
            FileCheck[] bad = [.. checks.Where(check => check.Problem is not null)];
            call.Write(checks, CommandJson.Shown.IReadOnlyListFileCheck, text =>
            {
                foreach (FileCheck check in bad)
                    text.WriteLine($"{check.Model}: {Plain(check.File.Name)}: {check.Problem}");
                text.WriteLine($"{checks.Count - bad.Length} of {checks.Count} files are as they should be.");
            });
            return bad.Length == 0 ? 0 : 1;
        });

        Option<LlamaBackend?> backend = table.PlanOptions.OfType<Option<LlamaBackend?>>().Single();
        Add("devices", "Show what this machine computes with, as llama.cpp sees it, and its memory.", ["devices", "devices --backend vulkan --json"], [], [backend], (call, _) =>
        {
            IReadOnlyList<DeviceLine> devices = [.. MachineCommands.Library(call.Parsed.GetValue(backend) ?? LlamaBackend.Auto).Devices.Select(MachineCommands.Describe)];
            call.Write(devices, CommandJson.Shown.IReadOnlyListDeviceLine, text => MachineCommands.Write(text, devices));
            return Task.FromResult(0);
        });

        Argument<string?> planned = new("MODEL") { Description = "A GGUF file, or a model of the library; as --model.", Arity = ArgumentArity.ZeroOrOne };
        planned.CompletionSources.Add(Names);
        Option<long?> hostMemory = OptionTable.Size("--host-memory", "Plan for a machine with so much memory, instead of this one's.", null);
        Add("plan", "Show what a start with these options puts where, what fits at which context, and what it costs. With --device-memory it plans for GPUs that this machine does not have.",
            ["plan chat", "plan models/chat.gguf --ctx-size 32768 --cache-type-k q8_0 --cache-type-v q8_0", "plan chat --device-memory 12GiB,8GiB --host-memory 64GiB --json"], [planned], [.. table.PlanOptions, hostMemory], (call, library) =>
        {
            ServerOptions options = table.Read(call.Parsed, environment);
            using ModelFile file = ModelFile.Find(NamedModels.PathOf(call.Parsed.GetValue(planned) ?? options.Model.ModelPath, library), []);
            LlamaLibrary llama = MachineCommands.Library(options.Backend);
            IReadOnlyList<LlamaDevice> devices = MachineCommands.Devices(llama.Devices, options.Model.DeviceMemory, call.Parsed.GetValue(hostMemory));
            ModelPlan plan = MachineCommands.Plan(options.Model with { ModelPath = file.Path }, call.Parsed.GetValue(planned) ?? options.Model.ModelPath ?? file.Id, llama, devices);
            call.Write(plan, CommandJson.Shown.ModelPlan, text => MachineCommands.Write(text, plan));
            return Task.FromResult(0);
        });

        Argument<string> shell = new("SHELL") { Description = "bash, zsh or fish." };
        shell.AcceptOnlyFromAmong([.. ShellCompletion.Shells]);
        Command completion = new("completion", "Print a script that completes commands, options and models in a shell.");
        examples.Add(completion, ["completion bash >> ~/.bashrc", "completion fish > ~/.config/fish/completions/InferenceServer.fish"]);
        completion.Add(shell);
        completion.SetAction(parsed => parsed.InvocationConfiguration.Output.WriteLine(ShellCompletion.Script(parsed.GetValue(shell)!)));
        table.Command.Add(completion);

        Command schema = new("schema", "Print the JSON schema of server.json, for editors. It lies beside this program, too, as server.schema.json.");
        examples.Add(schema, ["schema > server.schema.json"]);
        schema.SetAction(parsed => parsed.InvocationConfiguration.Output.Write(ServerFileSchema.Write()));
        table.Command.Add(schema);

        HelpOption help = table.Command.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((SynchronousCommandLineAction)help.Action!, examples);

        void Add(string title, string description, string[] shownCalls, Argument[] arguments, Option[] options, Func<CommandCall, ModelLibrary, Task<int>> run)
        {
            Command command = new(title, description);
            examples.Add(command, shownCalls);
            foreach (Argument argument in arguments)
                command.Add(argument);
            foreach (Option option in (Option[])[.. options, json])
                command.Add(option);
            command.SetAction((parsed, cancellation) => RunAsync(new CommandCall(parsed, parsed.GetValue(json), cancellation), table, environment, run));
            table.Command.Add(command);
        }
    }

    /// <summary>The usual help, and how a command is called.</summary>
    private sealed class HelpWithExamples(SynchronousCommandLineAction usual, Dictionary<Command, string[]> examples) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = usual.Invoke(parseResult);
            if (!examples.TryGetValue(parseResult.CommandResult.Command, out string[]? calls))
                return code;
            TextWriter output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (string call in calls)
                output.WriteLine($"  InferenceServer {call}");
            output.WriteLine();
            return code;
        }
    }

    private static async Task<int> RunAsync(CommandCall call, OptionTable table, Func<string, string?> environment, Func<CommandCall, ModelLibrary, Task<int>> run)
    {
        try
        {
            LibraryOptions options = table.ReadLibrary(call.Parsed, environment)
                ?? throw new LibraryException(LibraryProblem.Folder, "there is no folder for a user's data: name one for the models with --models-dir");
            using ModelLibrary library = ModelLibrary.Open(options);
            return await run(call, library);
        }
        catch (LibraryException failure)
        {
            if (call.IsJson)
                call.WriteJson(new CommandFailure(failure.Message, failure.Code), CommandJson.Shown.CommandFailure);
            else
                Console.Error.WriteLine($"InferenceServer: {failure.Message}{(failure.Problem == LibraryProblem.NotFound && table.ReadLibrary(call.Parsed, environment) is { } place ? $" (the library is {place.Folder})" : "")}");
            return failure.Problem == LibraryProblem.Invalid ? 2 : 1;
        }
        catch (OperationCanceledException) when (call.Cancellation.IsCancellationRequested)
        {
            Console.Error.WriteLine("InferenceServer: called off; what has come is kept, and the same command goes on from there");
            return Interrupted;
        }
    }

    private static async Task<string> ReadTextAsync(string path, CancellationToken cancellation)
    {
        try
        {
            return path == "-" ? await Console.In.ReadToEndAsync(cancellation) : await File.ReadAllTextAsync(path, cancellation);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new LibraryException(LibraryProblem.Invalid, $"the Modelfile cannot be read: {error.Message}; name it with -f", error);
        }
    }

    /// <summary>Paths in a Modelfile are relative to it.</summary>
    private static Modelfile Anchor(Modelfile modelfile, string path)
    {
        string folder = path == "-" ? "." : Path.GetDirectoryName(Path.GetFullPath(path))!;
        return modelfile with
        {
            From = ModelReference.Parse(modelfile.From) is FileReference file ? Path.Combine(folder, file.Path) : modelfile.From,
            Adapters = [.. modelfile.Adapters.Select(adapter => adapter.StartsWith('@') ? adapter : Path.Combine(folder, adapter))],
        };
    }

    private static void WriteTable(TextWriter text, IReadOnlyList<ModelManifest> models)
    {
        if (models.Count == 0)
        {
            text.WriteLine("The library is empty. Fetch a model with: InferenceServer pull hf:owner/repo-GGUF");
            return;
        }

        MachineCommands.Table(text, [["NAME", "SIZE", "QUANT", "PARAMETERS", "ADDED"], .. models.Select(model => (string[])[ModelName.Parse(model.Name).Display, ByteText.Of(model.SizeBytes), model.Quant ?? model.Details.Quantization,
            Count(model.Details.ParameterCount), model.AddedAt.ToLocalTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)])]);
    }

    private static void WriteModel(TextWriter text, ModelManifest manifest, string? path, string? problem)
    {
        text.WriteLine($"name          {manifest.Name}");
        text.WriteLine($"source        {Plain(manifest.Source)}{(manifest.Revision is { } revision ? $" at {Plain(revision)}" : "")}");
        text.WriteLine($"architecture  {Plain(manifest.Details.Architecture)}, {Count(manifest.Details.ParameterCount)} parameters, trained on {manifest.Details.ContextLength} tokens");
        text.WriteLine($"quantization  {manifest.Quant ?? manifest.Details.Quantization}{(manifest.QuantReason is { } reason ? $": {reason}" : "")}");
        text.WriteLine($"license       {Plain(manifest.License ?? "not stated")}");
        text.WriteLine($"added         {manifest.AddedAt.ToLocalTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)}");
        foreach (LibraryFile file in manifest.Files)
            text.WriteLine($"{file.Role.ToString().ToLowerInvariant(),-13} {Plain(file.Name)}, {ByteText.Of(file.Size)}, sha256 {file.Sha256}");
        text.WriteLine(path is not null ? $"path          {path}" : $"problem       {problem}");
        if (manifest.System is { } system)
            text.WriteLine($"system        {Plain(system)}");
        foreach ((string key, JsonElement value) in manifest.Parameters)
            text.WriteLine($"parameter     {key} {Plain(value.ToString())}");
        foreach (string note in manifest.Notes)
            text.WriteLine($"note          {Plain(note)}");
    }

    private static string Count(long count) => count switch
    {
        >= 1_000_000_000 => (count / 1e9).ToString("0.0", CultureInfo.InvariantCulture) + "B",
        >= 1_000_000 => (count / 1e6).ToString("0.0", CultureInfo.InvariantCulture) + "M",
        _ => count.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>A stranger's text without anything that a terminal obeys.</summary>
    private static string Plain(string text) => string.Concat(text.Select(c => char.IsControl(c) && c is not ('\n' or '\t') ? '?' : c));
}

/// <summary>One run of a command.</summary>
internal sealed record CommandCall(ParseResult Parsed, bool IsJson, CancellationToken Cancellation)
{
    private static readonly TimeSpan JsonInterval = TimeSpan.FromSeconds(1);

    private TextWriter Output => Parsed.InvocationConfiguration.Output;

    public void Write<T>(T value, JsonTypeInfo<T> type, Action<TextWriter> text)
    {
        if (IsJson)
            WriteJson(value, type);
        else
            text(Output);
    }

    public void WriteJson<T>(T value, JsonTypeInfo<T> type) => Output.WriteLine(JsonSerializer.Serialize(value, type));

    public int WriteModel(ModelManifest model)
    {
        Write(new ShownModel(model, null, null), CommandJson.Shown.ShownModel, text => text.WriteLine($"{ModelName.Parse(model.Name).Display} is in the library."));
        return 0;
    }

    /// <summary>Does something long, and shows how far it is.</summary>
    public async Task<T> WithProgressAsync<T>(Func<IProgress<PullProgress>, Task<T>> work)
    {
        if (IsJson)
            return await work(new JsonLines(this));
        PullBar bar = PullBar.OfProcess();
        try
        {
            return await work(bar);
        }
        finally
        {
            bar.End();
        }
    }

    private sealed class JsonLines(CommandCall call) : IProgress<PullProgress>
    {
        private readonly Lock _gate = new();
        private PullPhase? _phase;
        private long _last;

        public void Report(PullProgress value)
        {
            lock (_gate)
            {
                if (value.Phase == PullPhase.Done || (value.Phase == _phase && value.Note is null && TimeProvider.System.GetElapsedTime(_last) < JsonInterval))
                    return;
                (_phase, _last) = (value.Phase, TimeProvider.System.GetTimestamp());
                string status = value.Phase switch
                {
                    PullPhase.ReadingManifest => "reading",
                    PullPhase.WritingManifest => "writing",
                    var phase => phase.ToString().ToLowerInvariant(),
                };
                call.WriteJson(new PullLine(status, value.File?.Name, value.TotalCompleted, value.TotalSize, value.BytesPerSecond, value.TimeLeft?.TotalSeconds, value.Note), CommandJson.Shown.PullLine);
            }
        }
    }
}
