using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using InferenceServer.InProcess;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Api.Clients;
using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>A model's life in an app, and what the library leans on.</summary>
public sealed class InProcessModelTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("in-process-model-");

    public void Dispose() => _folder.Delete(recursive: true);

    private Task<InProcessModel> LoadAsync()
    {
        string path = Path.Combine(_folder.FullName, "tiny.gguf");
        TinyModel.Write(path);
        return InProcessModel.LoadAsync(TinyInProcess.Options(path), backend: LlamaBackend.Cpu);
    }

    [Fact]
    public async Task Disposing_ends_the_calls_that_run_and_refuses_later_ones()
    {
        InProcessModel model = await LoadAsync();
        InvalidOperationException none = Assert.Throws<InvalidOperationException>(() => model.Embeddings);
        Assert.Contains(nameof(ModelOptions.EmbeddingModelPath), none.Message, StringComparison.Ordinal);
        IChatClient chat = model.Chat;
        ChatOptions endless = new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(System.Text.Json.JsonDocument.Parse("""{"type":"array","items":{"type":"boolean"},"minItems":2000}""").RootElement) };
        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in chat.GetStreamingResponseAsync("Go on.", endless))
                await model.DisposeAsync();
        });
        ObjectDisposedException late = await Assert.ThrowsAsync<ObjectDisposedException>(() => chat.GetResponseAsync("Hello?"));
        Assert.Equal(typeof(InProcessModel).FullName, late.ObjectName);
        await model.DisposeAsync();
    }

    [Fact]
    public async Task A_file_that_is_not_there_is_named()
    {
        string absent = Path.Combine(_folder.FullName, "absent.gguf");
        LlamaException error = await Assert.ThrowsAsync<LlamaException>(() => InProcessModel.LoadAsync(TinyInProcess.Options(absent), backend: LlamaBackend.Cpu));
        Assert.Contains(absent, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Functions_are_invoked_through_the_pipeline_of_Microsoft_Extensions_AI()
    {
        await using TestHost scripted = await WeatherEngine.StartAsync(WeatherEngine.Create());
        await using CallGate calls = new();
        InProcessChatClient chat = new(scripted.Service<ModelCatalogue>().Models.Single(), ModerationGate.Off, calls, TimeProvider.System);
        string? asked = null;
        AIFunction weather = AIFunctionFactory.Create((string city) => $"sunny in {asked = city}", "weather", "The weather of a city.");
        using IChatClient invoking = chat.AsBuilder().UseFunctionInvocation().Build();
        ChatResponse response = await invoking.GetResponseAsync("Weather in Rome?", new ChatOptions { Tools = [weather] });
        Assert.Equal(("Rome", "It is sunny in Rome.", ChatFinishReason.Stop), (asked, response.Text, response.FinishReason));
        Assert.Equal([ChatRole.Assistant, ChatRole.Tool, ChatRole.Assistant], response.Messages.Select(message => message.Role));
    }

    [Theory]
    [InlineData("InferenceServer.InProcess")]
    [InlineData("InferenceServer.Core")]
    public void No_web_server_is_needed(string assembly)
    {
        using PEReader image = new(File.OpenRead(Path.Combine(AppContext.BaseDirectory, assembly + ".dll")));
        MetadataReader reader = image.GetMetadataReader();
        string[] needed = [.. reader.AssemblyReferences.Select(handle => reader.GetString(reader.GetAssemblyReference(handle).Name))];
        Assert.Contains("InferenceServer.Engine", needed);
        Assert.DoesNotContain(needed, name => name is "InferenceServer" or "System.Net.Http" || name.StartsWith("Microsoft.AspNetCore", StringComparison.Ordinal));
    }
}
