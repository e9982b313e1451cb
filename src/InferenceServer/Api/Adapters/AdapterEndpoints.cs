using System.Text.Json;
using InferenceServer.Api.Library;
using InferenceServer.Api.OpenAI;
using InferenceServer.Chat;
using InferenceServer.Llama;
using InferenceServer.Models;

namespace InferenceServer.Api.Adapters;

/// <summary>
/// LoRA adapters while the server runs: GET and POST /lora-adapters as llama.cpp's server has them, POST /v1/load_lora_adapter and /v1/unload_lora_adapter as vLLM has them.
/// </summary>
internal sealed class AdapterEndpoints(ModelCatalogue models, LibraryAccess access, ModelEndpoints descriptions)
{
    public static readonly ApiParameter Model = new("model", "The model whose adapters are meant; not needed where one is loaded.");

    public Task ListAsync(HttpContext http)
    {
        ServedModel model = Named(http);
        return JsonAnswer.WriteAsync(http, [.. model.Adapters.All.Select(adapter => Describe(adapter, model))], AdapterJson.Wire.IReadOnlyListAdapterDescription);
    }

    public async Task ScaleAsync(HttpContext http)
    {
        access.CheckAdapterChange();
        List<AdapterChoice> scales = await JsonBody.ReadAsync(http, AdapterReader.ReadBody, JsonValueKind.Array);
        Named(http).Adapters.SetDefaults(scales);
        await JsonAnswer.WriteAsync(http, new AdaptersScaled(true), AdapterJson.Wire.AdaptersScaled);
    }

    public async Task LoadAsync(HttpContext http)
    {
        access.CheckAdapterChange();
        AdapterLoadRequest request = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            AdapterLoadRequest read = new(body.RequireString("lora_name"), body.RequireString("lora_path"))
            {
                Scale = body.Number("scale", -AdapterOptions.MostScale, AdapterOptions.MostScale) ?? 1,
                Model = body.String("model"),
            };
            body.Close(ignored);
            return read;
        });
        // It stays loaded while its adapter is read.
        ServedModel model = await models.UseAsync(http, request.Model);
        try
        {
            ServedAdapter loaded = await model.Adapters.LoadAsync(new AdapterOptions(request.LoraName, request.LoraPath, request.Scale));
            await JsonAnswer.WriteAsync(http, descriptions.Describe((model.Parent ?? model).With(loaded)), OpenAIJson.Wire.ModelDescription);
        }
        catch (LlamaException unusable)
        {
            throw RequestProblem.Invalid($"{char.ToUpperInvariant(unusable.Message[0])}{unusable.Message[1..]}.", "lora_path", "invalid_adapter");
        }
    }

    public async Task UnloadAsync(HttpContext http)
    {
        access.CheckAdapterChange();
        AdapterUnloadRequest request = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            AdapterUnloadRequest read = new(body.RequireString("lora_name")) { Model = body.String("model") };
            body.Close(ignored);
            return read;
        });
        ServedModel model = models.Find(request.Model);
        if (!model.Adapters.Unload(request.LoraName))
            throw new RequestProblem(ProblemKind.NotFound, $"The model '{model.Id}' has no LoRA adapter '{request.LoraName}'.", "lora_name", "adapter_not_found");
        await JsonAnswer.WriteAsync(http, new Deletion($"{model.Id}:{request.LoraName}", "model", true), OpenAIJson.Wire.Deletion);
    }

    private ServedModel Named(HttpContext http) => models.Find(http.Request.Query[Model.Name].ToString() is { Length: > 0 } name ? name : null);

    private static AdapterDescription Describe(ServedAdapter adapter, ServedModel model)
    {
        LlamaAdapterFile file = adapter.Loaded.File;
        return new AdapterDescription(adapter.Id, adapter.Name, (model.Parent ?? model).Id, Path.GetFileName(file.Path), adapter.DefaultScale, adapter.Scale, file.Rank, file.Alpha);
    }
}
