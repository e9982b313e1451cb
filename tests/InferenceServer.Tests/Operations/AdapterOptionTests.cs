using InferenceServer.Commands;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Tests.Llama;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Operations;

/// <summary>--lora, and ADAPTER in a Modelfile: from what the operator writes to what is loaded.</summary>
public sealed class AdapterOptionTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("adapter-options-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_name_a_path_and_a_scale_are_read()
    {
        Assert.Equal([new AdapterOptions("sql", "sql.gguf"), new AdapterOptions("v1.2-b", "/a=b/x@y.gguf", 0.5f), new AdapterOptions("not", "x.gguf", -1)],
            Read("--lora", "sql=sql.gguf", "--lora", "v1.2-b=/a=b/x@y.gguf@0.5", "--lora", "not=x.gguf@-1").Options!.Model.Adapters);
        Assert.Empty(Read().Options!.Model.Adapters);
    }

    [Theory]
    [InlineData("sql.gguf")]
    [InlineData("a:b=sql.gguf")]
    [InlineData("=sql.gguf")]
    [InlineData("sql=")]
    [InlineData("sql=x.gguf@1000")]
    public void Another_form_is_refused_and_shown(string text)
    {
        CommandLineResult result = Read("--lora", text);
        Assert.Null(result.Options);
        Assert.Contains("--lora must be", result.Message, StringComparison.Ordinal);
        Assert.Contains(text, result.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_cannot_be_used_ends_the_start_in_one_line()
    {
        string model = Path.Combine(_folder.FullName, "model.gguf");
        TinyModel.Write(model);
        string adapter = TinyAdapter.Write(Path.Combine(_folder.FullName, "a.gguf"));
        Assert.Contains("absent.gguf does not exist", Fail([new AdapterOptions("a", "absent.gguf")]), StringComparison.Ordinal);
        Assert.Contains("'A' is loaded already", Fail([new AdapterOptions("a", adapter), new AdapterOptions("A", adapter)]), StringComparison.Ordinal);

        string Fail(AdapterOptions[] adapters) => Assert.Throws<ServerStartException>(() => ModelLoader.Load(
            new ModelOptions { ModelPath = model, ContextSize = 512, Threads = 1, Adapters = adapters }, LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance),
            NullLoggerFactory.Instance, TimeProvider.System)).Message;
    }

    [Fact]
    public async Task A_model_of_the_library_brings_its_own_and_applies_it()
    {
        string weights = Path.Combine(_folder.FullName, "model.gguf"), adapter = TinyAdapter.Write(Path.Combine(_folder.FullName, "a.gguf"));
        TinyModel.Write(weights);
        using ModelLibrary library = ModelLibrary.Open(new LibraryOptions { Folder = Path.Combine(_folder.FullName, "library"), Offline = true });
        await library.CreateAsync("tuned", new Modelfile { From = weights, Adapters = [adapter] }, allowPaths: true);
        using LiveConfiguration configuration = new(ServerConfiguration.None, TimeProvider.System, NullLogger.Instance);
        ModelOptions options = (await NamedModels.ResolveAsync(new ModelOptions { ModelPath = "tuned", ContextSize = 512, Threads = 1, Adapters = [new AdapterOptions("more", adapter)] }, configuration, library, CancellationToken.None)).Options;
        await using LoadedModel loaded = ModelLoader.Load(options, LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance), NullLoggerFactory.Instance, TimeProvider.System);
        Assert.Equal(["own-1", "more"], loaded.Served.Adapters.All.Select(a => a.Name));
        Assert.Equal(["more"], loaded.Served.Adapters.Named.Select(a => a.Name));
        Assert.Equal(1, Assert.Single(loaded.Served.Applied.Adapters).Scale);
        Assert.False(loaded.Served.Adapters.Unload("own-1"));
    }

    private static CommandLineResult Read(params string[] args) => CommandLine.Read(args, new ConfigurationBuilder().Build(), _ => null);
}
