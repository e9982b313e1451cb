using System.ComponentModel;
using InferenceServer.Models;

namespace InferenceServer.Api.LlamaServer;

/// <summary>The answer of GET /props: what llama-server's clients ask before they send a prompt.</summary>
public sealed record LlamaProperties(
    LlamaDefaults DefaultGenerationSettings, string ModelAlias,
    [property: Description("The Jinja template that renders chats; empty where the model has none.")] string ChatTemplate,
    string BuildInfo, LlamaModalities Modalities);

public sealed record LlamaDefaults([property: Description("Most tokens of a prompt and its reply.")] int NCtx);

public sealed record LlamaModalities(bool Vision, bool Audio);

/// <summary>GET /props, of the model of the start.</summary>
internal sealed class PropertiesEndpoint(ModelCatalogue models)
{
    public Task HandleAsync(HttpContext http)
    {
        ServedModel model = models.Models[0];
        return JsonAnswer.WriteAsync(http, new LlamaProperties(new(model.ContextLength), model.Id, model.File.ChatTemplate, $"InferenceServer {ServerVersion.Text}", new(Vision: false, Audio: false)), LlamaServerJson.Wire.LlamaProperties);
    }
}
