using InferenceServer.Models;

namespace InferenceServer.Api.Anthropic;

/// <summary>The loaded models in this dialect's shape. There are few: one page holds them all.</summary>
internal static class AnthropicModels
{
    public static Task ListAsync(HttpContext http, IReadOnlyList<ServedModel> models)
    {
        AnthropicErrors.StampId(http);
        AnthropicModel[] all = [.. models.Select(Describe)];
        return JsonAnswer.WriteAsync(http, new AnthropicModelList(all, false, all.FirstOrDefault()?.Id, all.LastOrDefault()?.Id), AnthropicJson.Wire.AnthropicModelList);
    }

    public static Task WriteAsync(HttpContext http, ServedModel model)
    {
        AnthropicErrors.StampId(http);
        return JsonAnswer.WriteAsync(http, Describe(model), AnthropicJson.Wire.AnthropicModel);
    }

    private static AnthropicModel Describe(ServedModel model) =>
        new("model", model.Id, model.Id, model.Created, "active", model.Engine.ContextLength, model.Engine.ContextLength);
}
