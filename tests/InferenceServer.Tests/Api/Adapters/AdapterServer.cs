using InferenceServer.Tests.Llama;

namespace InferenceServer.Tests.Api.Adapters;

/// <summary>A tiny model with two adapters, the second at half its strength.</summary>
public sealed class AdapterServer : TinyServer
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("adapter-server-");

    protected override IReadOnlyList<string> MoreArguments => ["--lora", $"first={Write(1)}", "--lora", $"second={Write(2)}@0.5"];

    protected override bool AllowPull => true;

    public string Write(int seed) => TinyAdapter.Write(Path.Combine(_folder.FullName, $"{seed}.gguf"), seed);

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
