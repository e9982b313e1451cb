using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.Extensions.Configuration;

namespace InferenceServer.Tests.Operations;

public sealed class CommandLineTests
{
    [Fact]
    public void Every_option_of_the_contract_is_read()
    {
        ServerOptions options = Read(
            "--model", "m.gguf", "--host", "0.0.0.0", "--port", "0", "--ctx-size", "8192", "--max-sequences", "4", "--threads", "3", "--batch-size", "256",
            "--ubatch-size", "128", "--backend", "vulkan", "--gpu-layers", "7", "--kv-unified", "off", "--deterministic", "--cache-type-k", "q8_0", "--cache-type-v", "f32",
            "--max-queue", "9", "--cache-ram", "512MiB", "--cache-dir", "kept", "--cache-disk", "3g", "--chat-template", "t.jinja",
            "--api-key-file", "keys.txt", "--data-dir", "stored", "--retention-days", "7", "--data-disk", "1g", "--strict", "--shutdown-timeout", "20",
            "--models-dir", "models", "--hub-endpoint", "http://hub.example/hf", "--ollama-registry", "http://ollama.example", "--offline", "on", "--allow-pull", "on", "--model-memory", "4g", "--keep-alive", "60").Options!;
        LibraryOptions library = options.Library!;
        Assert.Equal((Path.GetFullPath("models"), "http://hub.example/hf", "http://ollama.example/", true), (library.Folder, library.HubEndpoint.AbsoluteUri, library.OllamaRegistry.AbsoluteUri, library.Offline));

        Assert.Equal(new ServerOptions
        {
            Model = new ModelOptions
            {
                ModelPath = "m.gguf",
                ContextSize = 8192,
                MaxSequences = 4,
                Threads = 3,
                BatchSize = 256,
                MicroBatchSize = 128,
                GpuLayers = 7,
                KvUnified = false,
                Deterministic = true,
                CacheTypeK = KvType.Q8_0,
                CacheTypeV = KvType.F32,
                MaxQueue = 9,
                HostCacheBytes = 512L << 20,
                DiskCacheDirectory = "kept",
                DiskCacheBytes = 3L << 30,
                ChatTemplatePath = "t.jinja",
            },
            ModelMemory = 4L << 30,
            KeepAlive = TimeSpan.FromMinutes(1),
            Host = "0.0.0.0",
            Port = 0,
            Backend = LlamaBackend.Vulkan,
            ApiKeyFile = "keys.txt",
            Strict = true,
            ShutdownTimeout = TimeSpan.FromSeconds(20),
            DataDirectory = "stored",
            RetentionDays = 7,
            DataBytes = 1L << 30,
            AllowPull = true,
        }, options with { Library = null });
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("localhost", true)]
    [InlineData("::1", true)]
    [InlineData("0.0.0.0", false)]
    public void Models_are_fetched_over_HTTP_where_only_this_machine_asks(string host, bool allowed) => Assert.Equal(allowed, Read("--host", host).Options!.AllowPull);

    [Fact]
    public void Without_options_the_documented_defaults_hold()
    {
        ServerOptions options = Read().Options!;

        Assert.Equal(("127.0.0.1", 8080, 16, LlamaBackend.Auto, true), (options.Host, options.Port, options.Model.MaxSequences, options.Backend, options.Model.KvUnified));
        Assert.Equal((null, null, null), (options.Model.HostCacheBytes, options.Model.DiskCacheDirectory, options.Model.DiskCacheBytes));
        // Docker ends a container 10 s after it was told to stop.
        Assert.Equal(TimeSpan.FromSeconds(8), options.ShutdownTimeout);
        Assert.Equal((null, 30, 8L << 30), (options.DataDirectory, options.RetentionDays, options.DataBytes));
        Assert.Equal((null, null, null, null), (options.Model.ModelPath, options.Model.ContextSize, options.Model.GpuLayers, options.Model.Threads));
    }

    [Fact]
    public void Where_a_model_lies_is_read_with_its_lists()
    {
        ModelOptions model = Read("--split-mode", "row", "--tensor-split", "3,1.5", "--main-gpu", "1", "--n-cpu-moe", "12", "--device-memory", "6GiB,512M").Options!.Model;
        Assert.Equal((SplitMode.Row, 1, 12), (model.SplitMode, model.MainGpu, model.CpuExpertLayers));
        Assert.Equal([3, 1.5f], model.TensorSplit);
        Assert.Equal([6L << 30, 512L << 20], model.DeviceMemory);
        Assert.Equal(int.MaxValue, Read("--cpu-moe").Options!.Model.CpuExpertLayers);
        ModelOptions none = Read().Options!.Model;
        Assert.Equal((SplitMode.Layer, null, 0, null, null), (none.SplitMode, none.TensorSplit, none.MainGpu, none.CpuExpertLayers, none.DeviceMemory));
    }

    [Theory]
    [InlineData("--split-mode", "rows", "--split-mode must be one of none, layer, row; it is 'rows'")]
    [InlineData("--tensor-split", "3,x", "--tensor-split must be a share for each GPU such as 3,1, not all 0; it is '3,x'")]
    [InlineData("--tensor-split", "0,0", "--tensor-split must be a share for each GPU")]
    [InlineData("--main-gpu", "-1", "--main-gpu must be an integer from 0")]
    [InlineData("--n-cpu-moe", "all", "--n-cpu-moe must be an integer from 0")]
    [InlineData("--device-memory", "6GiB,", "--device-memory must be bytes for each GPU such as 6GiB,4GiB")]
    [InlineData("--port", "70000", "--port must be an integer from 0 to 65535; it is '70000'")]
    [InlineData("--port", "x", "--port must be an integer from 0 to 65535; it is 'x'")]
    [InlineData("--backend", "tpu", "--backend must be one of auto, cpu, vulkan, cuda, metal; it is 'tpu'")]
    [InlineData("--kv-unified", "yes", "--kv-unified must be one of on, off; it is 'yes'")]
    [InlineData("--cache-type-k", "q2", "--cache-type-k must be one of")]
    [InlineData("--gpu-layers", "-1", "--gpu-layers must be auto or an integer")]
    [InlineData("--host", "nowhere", "--host must be an IP address")]
    [InlineData("--ctx-size", "12", "--ctx-size must be an integer from 256")]
    [InlineData("--cache-ram", "-1", "--cache-ram must be a number of bytes")]
    [InlineData("--cache-disk", "9999999999GiB", "--cache-disk must be a number of bytes")]
    [InlineData("--cors-origin", "app.example", "--cors-origin must be an origin such as")]
    [InlineData("--cors-origin", "https://app.example/path", "--cors-origin must be an origin such as")]
    [InlineData("--allowed-host", "a b", "--allowed-host must be a host name")]
    [InlineData("--prot", "1", "--prot")]
    public void A_bad_option_or_value_is_one_line_and_exit_code_2(string name, string value, string message)
    {
        CommandLineResult result = Read(name, value);

        Assert.Null(result.Options);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(message, result.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', result.Message!);
    }

    [Fact]
    public void An_option_without_its_value_is_refused() => Assert.Equal(2, Read("--port").ExitCode);

    [Fact]
    public void The_command_line_goes_before_the_environment_and_that_before_the_settings_file()
    {
        IConfiguration settings = Settings(("port", "1"), ("max-queue", "2"), ("ctx-size", "512"));
        Dictionary<string, string> environment = new() { ["INFERENCE_SERVER_PORT"] = "10", ["INFERENCE_SERVER_MAX_QUEUE"] = "20" };

        ServerOptions options = CommandLine.Read(["--port", "100"], settings, environment.GetValueOrDefault).Options!;

        Assert.Equal((100, 20, 512), (options.Port, options.Model.MaxQueue, options.Model.ContextSize));
    }

    [Fact]
    public void A_bad_value_outside_the_command_line_says_where_it_stood()
    {
        Dictionary<string, string> environment = new() { ["INFERENCE_SERVER_PORT"] = "x" };
        CommandLineResult fromEnvironment = CommandLine.Read([], Settings(), environment.GetValueOrDefault);
        CommandLineResult fromFile = CommandLine.Read([], Settings(("threads", "0")), _ => null);
        CommandLineResult unknown = CommandLine.Read([], Settings(("prot", "1")), _ => null);

        Assert.All((CommandLineResult[])[fromEnvironment, fromFile, unknown], result => Assert.Equal(2, result.ExitCode));
        Assert.Contains("(from INFERENCE_SERVER_PORT)", fromEnvironment.Message, StringComparison.Ordinal);
        Assert.Contains("(from appsettings.json)", fromFile.Message, StringComparison.Ordinal);
        Assert.Contains("InferenceServer:prot", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_option_that_lists_things_is_repeated_or_written_with_commas_or_an_array()
    {
        Assert.Equal(["a", "b"], Read("--api-key", "a", "--api-key", "b").Options!.ApiKeys);
        Dictionary<string, string> environment = new() { ["INFERENCE_SERVER_API_KEY"] = "c, d" };
        Assert.Equal(["c", "d"], CommandLine.Read([], Settings(), environment.GetValueOrDefault).Options!.ApiKeys);
        Assert.Equal(["https://e", "*"], CommandLine.Read([], Settings(("cors-origin:0", "https://e"), ("cors-origin:1", "*")), _ => null).Options!.CorsOrigins);
        Assert.Empty(Read().Options!.AllowedHosts);
    }

    [Fact]
    public void A_switch_is_on_when_named_and_as_its_value_says_elsewhere()
    {
        Assert.False(Read().Options!.Strict);
        Assert.True(Read("--strict").Options!.Strict);
        Assert.True(CommandLine.Read([], Settings(), name => name == "INFERENCE_SERVER_STRICT" ? "true" : null).Options!.Strict);
        Assert.False(CommandLine.Read([], Settings(("strict", "false")), _ => null).Options!.Strict);
        Assert.Equal(2, CommandLine.Read([], Settings(("strict", "perhaps")), _ => null).ExitCode);
    }

    [Theory]
    [InlineData("not a key")]
    [InlineData("schlüssel")]
    [InlineData("")]
    public void A_bad_key_is_refused_without_repeating_it(string key)
    {
        CommandLineResult result = Read("--api-key", key);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("--api-key must be 1 to 512 printable", result.Message, StringComparison.Ordinal);
        Assert.False(key.Length > 0 && result.Message!.Contains(key, StringComparison.Ordinal));
    }

    private static CommandLineResult Read(params string[] arguments) => CommandLine.Read(arguments, Settings(), _ => null);

    private static IConfiguration Settings(params (string Key, string Value)[] entries) => new ConfigurationBuilder()
        .AddInMemoryCollection(entries.ToDictionary(entry => $"{CommandLine.SettingsSection}:{entry.Key}", entry => (string?)entry.Value)).Build();
}
