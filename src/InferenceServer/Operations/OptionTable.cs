using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using InferenceServer.Configuration;
using InferenceServer.Engine;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Moderation;

namespace InferenceServer.Operations;

/// <summary>Every option: its name, what <c>--help</c> says, what it accepts. The names are a contract with those who deploy the server.</summary>
internal sealed class OptionTable
{
    private static readonly Dictionary<string, KvType> KvTypes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["f32"] = KvType.F32,
        ["f16"] = KvType.F16,
        ["bf16"] = KvType.BF16,
        ["q8_0"] = KvType.Q8_0,
        ["q5_1"] = KvType.Q5_1,
        ["q5_0"] = KvType.Q5_0,
        ["q4_1"] = KvType.Q4_1,
        ["q4_0"] = KvType.Q4_0,
        ["iq4_nl"] = KvType.IQ4_NL,
    };

    private static readonly Dictionary<string, LlamaBackend> Backends = new(StringComparer.OrdinalIgnoreCase)
    {
        ["auto"] = LlamaBackend.Auto,
        ["cpu"] = LlamaBackend.Cpu,
        ["vulkan"] = LlamaBackend.Vulkan,
        ["cuda"] = LlamaBackend.Cuda,
        ["metal"] = LlamaBackend.Metal,
    };

    private static readonly Dictionary<string, SplitMode> SplitModes = new(StringComparer.OrdinalIgnoreCase) { ["none"] = SplitMode.None, ["layer"] = SplitMode.Layer, ["row"] = SplitMode.Row };

    private static readonly Dictionary<string, Switch> Switches = new(StringComparer.OrdinalIgnoreCase) { ["on"] = Switch.On, ["off"] = Switch.Off };

    private static readonly Dictionary<string, ModerationMode> ModerationModes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["off"] = ModerationMode.Off,
        ["flag"] = ModerationMode.Flag,
        ["refuse"] = ModerationMode.Refuse,
    };

    public const string AdapterForm = "NAME=PATH[@SCALE]";

    private const long DefaultDiskBytes = 8L << 30;

    private static readonly (string Suffix, int Shift)[] SizeSuffixes =
        [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("B", 0), ("", 0)];

    // Not bool: the parser treats options of that type as flags without a value.
    private enum Switch
    {
        Off,
        On,
    }

    private readonly Option<string?> _config = Text("--config", "FILE",
        "A file of models and options; see docs/configuration.md. Default: server.json of the current directory, if it is there.");

    private readonly Option<string?> _model = Text("--model", "MODEL",
        "A GGUF file, a model of the library by its name, or one to fetch: hf:owner/repo[:quant] or ollama:name[:tag]. Default: models/chat-small.gguf, or a tiny random model where there is none.");

    private readonly Option<string?> _embeddingModel = Text("--embedding-model", "MODEL",
        "A model that embeds or ranks, for /v1/embeddings and /v1/rerank; named as that of --model. The same one as --model lets that one embed too; a model whose file says how it pools does so anyway.");

    private readonly Option<string?> _draftModel = Text("--draft-model", "MODEL",
        "A smaller model of the same vocabulary that guesses what --model says next, which verifies the guesses: replies stay the same, and come sooner where that pays; named as that of --model.");

    private readonly Option<int> _draftMax = Number("--draft-max", "Most tokens that --draft-model guesses at a time.", 1, DraftModel.MostTokens, 8);
    private readonly Option<float?> _draftLeastProbability = new("--draft-p-min")
    {
        HelpName = "P",
        Description = "A guess that --draft-model takes to be less likely ends its draft. Default: 0.5.",
        CustomParser = result => float.TryParse(One(result), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out float value) && value is >= 0 and <= 1 ? value : Fail<float?>(result, "a number from 0 to 1"),
    };
    private readonly Option<string[]> _lora = List("--lora", AdapterForm,
        "A LoRA adapter of the model, a GGUF file; repeatable. Requests choose it as the model MODEL:NAME, where it counts SCALE times (1 if absent), or in their field lora.",
        text => Adapter(text) is not null, $"a name of {AdapterOptions.NameForm}, =, and the path of a GGUF file, which @ and a number from -{AdapterOptions.MostScale} to {AdapterOptions.MostScale} may follow");

    private readonly Option<string?> _modelsDirectory = Text("--models-dir", "DIR",
        "The library of models: in this folder, which several servers may share. Default: InferenceServer/models in the user's data folder.");

    private readonly Option<Uri?> _hubEndpoint = Address("--hub-endpoint", "Where hf: models come from, for a mirror. Default: HF_ENDPOINT, else https://huggingface.co.");
    private readonly Option<Uri?> _ollamaRegistry = Address("--ollama-registry", "Where ollama: models come from, for a mirror. Default: https://registry.ollama.ai.");
    private readonly Option<Switch?> _offline = Choice("--offline", "Never use the network: what is not in the library is not there. HF_HUB_OFFLINE=1 turns it on, too.", Switches, Switch.Off);
    private readonly Option<Switch?> _allowPull = new("--allow-pull")
    {
        HelpName = "on|off",
        Description = "Whether models may be fetched, made and deleted over HTTP. Default: on where the server listens on a loopback address, else off.",
        CustomParser = result => Switches.TryGetValue(One(result), out Switch value) ? value : Fail<Switch?>(result, "one of on, off"),
    };

    private readonly Option<string> _host = new("--host")
    {
        HelpName = "ADDRESS",
        Description = "The address to listen on; 0.0.0.0 for all.",
        DefaultValueFactory = _ => "127.0.0.1",
        CustomParser = result => IPAddress.TryParse(One(result), out IPAddress? address)
            ? address.ToString()
            : One(result) is "localhost" ? "127.0.0.1" : Fail<string>(result, "an IP address"),
    };

    private readonly Option<int> _port = Number("--port", "The port to listen on; 0 takes a free one.", 0, 65535, 8080);
    private readonly Option<int?> _contextSize = Number("--ctx-size",
        "The KV pool in tokens, shared by all sequences. Default: what fits into memory, the model's context at least once.", 256, 1 << 28);

    private readonly Option<int> _maxSequences = Number("--max-sequences", "Most sequences that decode at once.", 1, 128, 16);
    private readonly Option<int?> _threads = Number("--threads", "Threads that compute. Default: one a processor core.", 1, 1024);
    private readonly Option<int> _batchSize = Number("--batch-size", "Most tokens of one step.", 1, 1 << 20, 2048);
    private readonly Option<int> _microBatchSize = Number("--ubatch-size", "Most tokens computed at a time within a step.", 1, 1 << 20, 512);
    private readonly Option<LlamaBackend?> _backend = Choice("--backend",
        "What computes: auto takes CUDA, then Vulkan on a real GPU, then Metal, then the CPU, if a first token can be computed there.", Backends, LlamaBackend.Auto);

    private readonly Option<int?> _gpuLayers = new("--gpu-layers")
    {
        HelpName = "auto|N",
        Description = "Layers on the GPU, the output layer counted as one. Default: auto, all that fit.",
        CustomParser = result => One(result).Equals("auto", StringComparison.OrdinalIgnoreCase)
            ? null
            : Integer(One(result), 0, 10_000) ?? Fail<int?>(result, "auto or an integer from 0 to 10000"),
    };

    private readonly Option<SplitMode?> _splitMode = Choice("--split-mode", "How a model lies on several GPUs: none takes one of them, layer gives each whole layers, row gives each a part of every matrix where the backend can.", SplitModes, SplitMode.Layer);

    private readonly Option<float[]?> _tensorSplit = new("--tensor-split")
    {
        HelpName = "N,N",
        Description = "Each GPU's share of the model, such as 3,1. Default: what fits, each as full as the others.",
        CustomParser = result => Parts(One(result), part => float.TryParse(part, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out float share) && float.IsFinite(share) ? share : (float?)null) is { } shares && shares.Sum() > 0
            ? shares : Fail<float[]?>(result, "a share for each GPU such as 3,1, not all 0"),
    };

    private readonly Option<int> _mainGpu = Number("--main-gpu", "The GPU that has all with --split-mode none, and small tensors and the KV cache with row; the first is 0.", 0, 63, 0);
    private readonly Option<bool> _cpuMoe = new("--cpu-moe") { Description = "Leave the experts of a mixture of experts to the CPU; the rest of each layer may lie on the GPU." };
    private readonly Option<int?> _cpuMoeLayers = Number("--n-cpu-moe", "Leave the experts of the first N layers to the CPU. Default: as few as must, for all other weights to lie on the GPU.", 0, 10_000);

    private readonly Option<long[]?> _deviceMemory = new("--device-memory")
    {
        HelpName = "BYTES,BYTES",
        Description = "Most memory that the model may take of each GPU, such as 6GiB,4GiB. Default: what is free.",
        CustomParser = result => Parts(One(result), Bytes) ?? Fail<long[]?>(result, "bytes for each GPU such as 6GiB,4GiB"),
    };

    private readonly Option<Switch?> _kvUnified = Choice("--kv-unified", "One pool of KV cells for all sequences, so that prefixes are shared without copying.", Switches, Switch.On);
    private readonly Option<bool> _deterministic = new("--deterministic")
    {
        Description = "Repeat a seeded request bit for bit, alone and beside others. Every sequence then has its own part of --ctx-size.",
    };
    private readonly Option<KvType?> _cacheTypeK = Choice("--cache-type-k", "How keys are stored in the KV pool.", KvTypes, KvType.F16);
    private readonly Option<KvType?> _cacheTypeV = Choice("--cache-type-v", "How values are stored in the KV pool.", KvTypes, KvType.F16);
    private readonly Option<int> _maxQueue = Number("--max-queue", "Most requests that wait; one more is answered 429.", 1, 1_000_000, 512);
    private readonly Option<int?> _targetItl = Number("--target-itl-ms",
        "Milliseconds between two tokens of a stream that prompts computed beside it may not exceed; 0 sets no limit, for throughput. Default: the larger of 50 and twice a step without prompts.", 0, 60_000);
    private readonly Option<long?> _modelMemory = Size("--model-memory",
        "Most memory of models that are loaded when a request names them; 0 loads none. Default: half of what is free, of a GPU nine tenths.", null);
    private readonly Option<int> _keepAlive = Seconds("--keep-alive", "How long such a model stays after its last use.", 0, 31_536_000, 300);
    private readonly Option<long?> _cacheRam = Size("--cache-ram",
        "Host memory for prefixes that left the KV pool; 0 keeps none. Default: a tenth of memory.", null);

    private readonly Option<string?> _cacheDirectory = Text("--cache-dir", "DIR",
        "Keep prefixes on disk too, so that a restart finds them: in this folder, one for each server. They hold what users wrote; only the owner may read them.");

    private readonly Option<long?> _cacheDisk = Size("--cache-disk", "Most disk space for --cache-dir; the prefixes used longest ago go first. Default: a tenth of what is free there.", null);
    private readonly Option<string[]> _apiKeys = List("--api-key", "KEY",
        "A key that opens the API, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'; repeatable. Other users can see it in the list of processes: a file or the environment hides it.",
        ApiKeyRing.IsValid, $"1 to {ApiKeyRing.MaxKeyLength} printable ASCII characters without spaces and commas", isSecret: true);

    private readonly Option<string?> _apiKeyFile = Text("--api-key-file", "FILE", "More keys, one a line.");
    private readonly Option<string[]> _corsOrigins = List("--cors-origin", "ORIGIN",
        "An origin whose pages may use the API from a browser; repeatable, * for all. Default: those of this machine and of apps on it (app, tauri, vscode-webview, capacitor).",
        BrowserAccess.IsOrigin, "an origin such as https://app.example or http://localhost:3000");

    private readonly Option<string[]> _allowedHosts = List("--allowed-host", "NAME",
        "A name, besides localhost and those that end in .local or .internal, under which the server may be spoken to; repeatable. Without one this is checked on loopback addresses only.",
        name => Uri.CheckHostName(name) != UriHostNameType.Unknown, "a host name without a port");

    private readonly Option<int> _shutdownTimeout = Seconds("--shutdown-timeout",
        "How long running requests may go on after the server was told to stop; Docker ends a container 10 s after that.", 0, 3600, 8);

    private readonly Option<bool> _strict = new("--strict") { Description = "Refuse requests with fields that the server does not know, instead of listing these in x-ignored-params." };

    private readonly Option<string?> _dataDirectory = Text("--data-dir", "DIR|off",
        "Where stored completions, responses, conversations and feedback are kept: in this folder, one for each server. Default: InferenceServer in the user's data folder, or off where that cannot be written.");

    private readonly Option<int> _retentionDays = Number("--retention-days", "Days after its last use that what is stored is deleted.", 1, 36_500, 30);
    private readonly Option<long?> _dataDisk = Size("--data-disk", "Most of what is stored; what was used longest ago goes first. Default: 8GiB.", DefaultDiskBytes);
    private readonly Option<ModerationMode?> _moderation = Choice("--moderation",
        "What is done about chats that the moderation rules flag: flag reports them, refuse answers with a refusal.", ModerationModes, ModerationMode.Off);

    private readonly Option<string?> _moderationRules = Text("--moderation-rules", "FILE", "Moderation rules, as JSON, instead of the small English set that is built in.");
    private readonly Option<string?> _moderationModel = Text("--moderation-model", "MODEL",
        "A model that sorts texts into classes, to judge beside the rules what goes into chats and what comes out: a class counts for the category of its name.");

    private readonly Option<string?> _chatTemplate = Text("--chat-template", "FILE", "A Jinja chat template that replaces the model's own.");

    public OptionTable()
    {
        Command = new RootCommand("A local inference server for GPT-style models, with OpenAI's HTTP API. Options are read from the command line, then from "
            + "environment variables such as INFERENCE_SERVER_CTX_SIZE, then from the section InferenceServer of appsettings.json.");
        // Without a command it is the server that runs: the caller starts it.
        Command.SetAction(_ => 0);
        Options =
        [
            _config, _model, _lora, _embeddingModel, _draftModel, _draftMax, _draftLeastProbability, _modelsDirectory, _hubEndpoint, _ollamaRegistry, _offline, _allowPull, _modelMemory, _keepAlive, _host, _port, _contextSize, _maxSequences, _threads, _batchSize, _microBatchSize, _backend, _gpuLayers, _splitMode, _tensorSplit, _mainGpu, _cpuMoe, _cpuMoeLayers, _deviceMemory, _kvUnified, _deterministic, _cacheTypeK,
            _cacheTypeV, _maxQueue, _targetItl, _cacheRam, _cacheDirectory, _cacheDisk, _dataDirectory, _retentionDays, _dataDisk, _chatTemplate, _apiKeys, _apiKeyFile, _corsOrigins, _allowedHosts,
            _strict, _shutdownTimeout, _moderation, _moderationRules, _moderationModel,
        ];
        foreach (Option option in Options)
        {
            option.Arity = IsList(option) ? ArgumentArity.OneOrMore : option is Option<bool> ? ArgumentArity.ZeroOrOne : ArgumentArity.ExactlyOne;
            Command.Add(option);
        }

        foreach (Option option in (Option[])[_config, _modelsDirectory, _hubEndpoint, _ollamaRegistry, _offline])
            option.Recursive = true;
    }

    public RootCommand Command { get; }

    /// <summary>The file that other options come from.</summary>
    public Option Config => _config;

    /// <summary>The file of models and options; null where none is named and none is there.</summary>
    public string? ConfigPath(ParseResult parsed, Func<string, string?> environment) =>
        parsed.GetValue(_config) ?? (environment("INFERENCE_SERVER_CONFIG") is { Length: > 0 } named ? named : File.Exists(ServerFileReader.DefaultName) ? ServerFileReader.DefaultName : null);

    /// <summary>Those that one of several models may have for itself.</summary>
    public IReadOnlyList<Option> OfOneModel =>
    [
        _lora, _draftModel, _draftMax, _draftLeastProbability, _contextSize, _maxSequences, _threads, _batchSize, _microBatchSize, _gpuLayers, _splitMode, _tensorSplit, _mainGpu, _cpuMoe, _cpuMoeLayers, _deviceMemory, _kvUnified, _deterministic, _cacheTypeK, _cacheTypeV, _maxQueue, _targetItl, _cacheRam, _chatTemplate,
    ];

    /// <summary>Those of the server that a plan of its memory depends on.</summary>
    public IReadOnlyList<Option> PlanOptions =>
    [
        _model, _backend, _contextSize, _maxSequences, _batchSize, _microBatchSize, _cacheTypeK, _cacheTypeV, _kvUnified, _deterministic, _gpuLayers, _splitMode, _tensorSplit, _mainGpu, _cpuMoe, _cpuMoeLayers, _deviceMemory,
    ];

    /// <summary>Ours, without <c>--help</c> and <c>--version</c>.</summary>
    public IReadOnlyList<Option> Options { get; }

    /// <summary>Whether an option may be given several times; elsewhere its values are separated by commas.</summary>
    public static bool IsList(Option option) => option is Option<string[]>;

    /// <summary>The library that the options mean; null where there is no folder for one.</summary>
    /// <exception cref="LibraryException">The environment names a hub that is no address.</exception>
    public LibraryOptions? ReadLibrary(ParseResult parsed, Func<string, string?> environment) =>
        (parsed.GetValue(_modelsDirectory) ?? (environment("INFERENCE_SERVER_MODELS_DIR") is { Length: > 0 } named ? named : LibraryOptions.DefaultFolder)) is { } folder
            ? LibraryOptions.FromEnvironment(folder, parsed.GetValue(_hubEndpoint), parsed.GetValue(_ollamaRegistry), parsed.GetResult(_offline) is { Implicit: false } ? parsed.GetValue(_offline) is Switch.On : null, environment)
            : null;

    /// <summary>Has the values of these options complete to models of the library.</summary>
    public void CompleteModels(Func<CompletionContext, IEnumerable<CompletionItem>> models)
    {
        foreach (Option<string?> option in (Option<string?>[])[_model, _embeddingModel, _draftModel, _moderationModel])
            option.CompletionSources.Add(models);
    }

    public ServerOptions Read(ParseResult parsed, Func<string, string?> environment) => new()
    {
        Library = ReadLibrary(parsed, environment),
        AllowPull = (parsed.GetValue(_allowPull) ?? (IPAddress.IsLoopback(IPAddress.Parse(parsed.GetValue(_host)!)) ? Switch.On : Switch.Off)) is Switch.On,
        ModelMemory = parsed.GetValue(_modelMemory),
        KeepAlive = TimeSpan.FromSeconds(parsed.GetValue(_keepAlive)),
        Model = ReadModel(parsed, new ModelOptions()) with
        {
            ModelPath = parsed.GetValue(_model),
            EmbeddingModelPath = parsed.GetValue(_embeddingModel),
            ModerationModelPath = parsed.GetValue(_moderationModel),
            DiskCacheDirectory = parsed.GetValue(_cacheDirectory),
            DiskCacheBytes = parsed.GetValue(_cacheDisk),
        },
        Host = parsed.GetValue(_host)!,
        Port = parsed.GetValue(_port),
        Backend = parsed.GetValue(_backend) ?? LlamaBackend.Auto,
        DataDirectory = parsed.GetValue(_dataDirectory),
        RetentionDays = parsed.GetValue(_retentionDays),
        DataBytes = parsed.GetValue(_dataDisk) ?? DefaultDiskBytes,
        ApiKeys = Listed(parsed, _apiKeys),
        ApiKeyFile = parsed.GetValue(_apiKeyFile),
        CorsOrigins = Listed(parsed, _corsOrigins),
        Strict = parsed.GetValue(_strict),
        ShutdownTimeout = TimeSpan.FromSeconds(parsed.GetValue(_shutdownTimeout)),
        Moderation = parsed.GetValue(_moderation) ?? ModerationMode.Off,
        ModerationRulesPath = parsed.GetValue(_moderationRules),
        AllowedHosts = Listed(parsed, _allowedHosts),
    };

    /// <summary>The options of one model: those that are given, and the others as they are.</summary>
    public ModelOptions ReadModel(ParseResult parsed, ModelOptions others)
    {
        int batch = Given(_batchSize, others.BatchSize);
        return others with
        {
            Adapters = Given(_lora, []) is { Length: > 0 } adapters ? [.. adapters.Select(text => Adapter(text)!)] : others.Adapters,
            DraftModelPath = Given(_draftModel, others.DraftModelPath),
            LongestDraft = Given(_draftMax, others.LongestDraft),
            LeastDraftProbability = Given(_draftLeastProbability, null) ?? others.LeastDraftProbability,
            ChatTemplatePath = Given(_chatTemplate, others.ChatTemplatePath),
            ContextSize = Given(_contextSize, others.ContextSize),
            MaxSequences = Given(_maxSequences, others.MaxSequences),
            Threads = Given(_threads, others.Threads),
            BatchSize = batch,
            MicroBatchSize = Math.Min(Given(_microBatchSize, others.MicroBatchSize), batch),
            GpuLayers = Given(_gpuLayers, others.GpuLayers),
            SplitMode = Given(_splitMode, null) ?? others.SplitMode,
            TensorSplit = Given(_tensorSplit, null) is { Length: > 0 } split ? split : others.TensorSplit,
            MainGpu = Given(_mainGpu, others.MainGpu),
            CpuExpertLayers = Given(_cpuMoe, false) ? int.MaxValue : Given(_cpuMoeLayers, others.CpuExpertLayers),
            DeviceMemory = Given(_deviceMemory, null) is { Length: > 0 } memory ? memory : others.DeviceMemory,
            KvUnified = Given(_kvUnified, null) is { } unified ? unified is Switch.On : others.KvUnified,
            Deterministic = Given(_deterministic, others.Deterministic),
            CacheTypeK = Given(_cacheTypeK, null) ?? others.CacheTypeK,
            CacheTypeV = Given(_cacheTypeV, null) ?? others.CacheTypeV,
            MaxQueue = Given(_maxQueue, others.MaxQueue),
            TargetInterTokenSeconds = Given(_targetItl, null) / 1000.0 ?? others.TargetInterTokenSeconds,
            HostCacheBytes = Given(_cacheRam, others.HostCacheBytes),
        };

        T Given<T>(Option<T> option, T otherwise) => parsed.GetResult(option) is { Implicit: false } ? parsed.GetValue(option)! : otherwise;
    }

    /// <summary>Null where it is none. What follows the last @ is a scale if it is a number; paths may hold such signs, too.</summary>
    private static AdapterOptions? Adapter(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal), at = text.LastIndexOf('@');
        if (equals < 0 || !AdapterOptions.IsName(text[..equals]))
            return null;
        bool isScaled = float.TryParse(at > equals ? text.AsSpan(at + 1) : default, NumberStyles.Float, CultureInfo.InvariantCulture, out float scale);
        string path = isScaled ? text[(equals + 1)..at] : text[(equals + 1)..];
        return path.Length > 0 && (!isScaled || Math.Abs(scale) <= AdapterOptions.MostScale) ? new AdapterOptions(text[..equals], path, isScaled ? scale : 1) : null;
    }

    private static string[] Listed(ParseResult parsed, Option<string[]> option) => parsed.GetValue(option) is { Length: > 0 } values ? values : [];

    private static Option<string?> Text(string name, string helpName, string description) => new(name)
    {
        HelpName = helpName,
        Description = description,
        CustomParser = result => One(result).Length > 0 ? One(result) : Fail<string?>(result, "a path"),
    };

    private static Option<Uri?> Address(string name, string description) => new(name)
    {
        HelpName = "URL",
        Description = description,
        CustomParser = result => LibraryOptions.IsAddress(One(result), out Uri? address) ? address : Fail<Uri?>(result, "an address such as https://hub.example"),
    };

    private static Option<string[]> List(string name, string helpName, string description, Predicate<string> valid, string wanted, bool isSecret = false) => new(name)
    {
        HelpName = helpName,
        Description = description,
        CustomParser = result =>
        {
            string[] values = [.. result.Tokens.Select(token => token.Value)];
            if (values.FirstOrDefault(value => !valid(value)) is { } wrong)
                result.AddError($"{name} must be {wanted}{(isSecret ? "" : $"; it is '{wrong}'")}");
            return values;
        },
    };

    private static Option<int> Number(string name, string description, int min, int max, int standard) => new(name)
    {
        HelpName = "N",
        Description = description,
        DefaultValueFactory = _ => standard,
        CustomParser = result => Integer(One(result), min, max) ?? Fail<int>(result, $"an integer from {min} to {max}"),
    };

    private static Option<int> Seconds(string name, string description, int min, int max, int standard)
    {
        Option<int> option = Number(name, description, min, max, standard);
        option.HelpName = "SECONDS";
        return option;
    }

    private static Option<int?> Number(string name, string description, int min, int max) => new(name)
    {
        HelpName = "N",
        Description = description,
        CustomParser = result => Integer(One(result), min, max) ?? Fail<int?>(result, $"an integer from {min} to {max}"),
    };

    /// <summary>Bytes, with a binary suffix or without: 1GiB, 512M, 0.</summary>
    internal static Option<long?> Size(string name, string description, long? standard) => new(name)
    {
        HelpName = "BYTES",
        Description = description,
        DefaultValueFactory = _ => standard,
        CustomParser = result => Bytes(One(result)) ?? Fail<long?>(result, "a number of bytes such as 512MiB or 2GiB"),
    };

    /// <summary>Values between commas; null where there is none, or one is wrong.</summary>
    private static T[]? Parts<T>(string text, Func<string, T?> read)
        where T : struct
    {
        T?[] parts = [.. text.Split(',', StringSplitOptions.TrimEntries).Select(read)];
        return parts.All(part => part is not null) ? [.. parts.Select(part => part!.Value)] : null;
    }

    private static long? Bytes(string text)
    {
        const long Most = 1L << 50;
        (string suffix, int shift) = SizeSuffixes.First(known => text.EndsWith(known.Suffix, StringComparison.OrdinalIgnoreCase));
        return long.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= Most >> shift
            ? number << shift
            : null;
    }

    private static Option<T?> Choice<T>(string name, string description, Dictionary<string, T> values, T standard)
        where T : struct
    {
        string standardName = values.First(value => value.Value.Equals(standard)).Key;
        return new Option<T?>(name)
        {
            HelpName = string.Join('|', values.Keys),
            Description = $"{description} Default: {standardName}.",
            CustomParser = result => values.TryGetValue(One(result), out T value) ? value : Fail<T?>(result, $"one of {string.Join(", ", values.Keys)}"),
        };
    }

    private static string One(ArgumentResult result) => result.Tokens.Count == 1 ? result.Tokens[0].Value : "";

    private static int? Integer(string text, int min, int max) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max ? value : null;

    private static T Fail<T>(ArgumentResult result, string wanted)
    {
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} must be {wanted}; it is '{One(result)}'");
        return default!;
    }
}
