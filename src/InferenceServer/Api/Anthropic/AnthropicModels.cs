using System.Globalization;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

/// <summary>The loaded models in this dialect's shape, in pages as it asks for them.</summary>
internal static class AnthropicModels
{
    private const int DefaultLimit = 20;
    private const int MaxLimit = 1000;

    public static readonly object[] Page =
    [
        new ApiParameter("limit", "With the header anthropic-version: most models of the page, 1 to 1000, 20 if absent.", Type: Microsoft.OpenApi.JsonSchemaType.Integer),
        new ApiParameter("after_id", "With the header anthropic-version: go on after this model."),
        new ApiParameter("before_id", "With the header anthropic-version: what comes before this model."),
    ];

    /// <summary>Whether a query's parameter is one of those that choose a page.</summary>
    public static bool ChoosesPage(string name) => Page.Any(parameter => ((ApiParameter)parameter).IsMeantBy(name));

    public static Task ListAsync(HttpContext http, IReadOnlyList<ServedModel> models)
    {
        AnthropicErrors.StampId(http);
        IQueryCollection query = http.Request.Query;
        int limit = DefaultLimit;
        if (query["limit"].ToString() is { Length: > 0 } given
            && (!int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > MaxLimit))
            throw RequestProblem.Invalid($"{{where}} must be an integer from 1 to {MaxLimit}.", "limit", "out_of_range");
        ServedModel[] all = [.. models];
        if (query["after_id"].ToString() is { Length: > 0 } after)
            all = all[(IndexOf(all, after, "after_id") + 1)..];
        bool backwards = query["before_id"].ToString().Length > 0;
        if (backwards)
            all = all[..IndexOf(all, query["before_id"].ToString(), "before_id")];
        AnthropicModel[] page = [.. (backwards ? all.TakeLast(limit) : all.Take(limit)).Select(Describe)];
        return JsonAnswer.WriteAsync(http, new AnthropicModelList(page, all.Length > page.Length, page.FirstOrDefault()?.Id, page.LastOrDefault()?.Id), AnthropicJson.Wire.AnthropicModelList);
    }

    public static Task WriteAsync(HttpContext http, ServedModel model)
    {
        AnthropicErrors.StampId(http);
        return JsonAnswer.WriteAsync(http, Describe(model), AnthropicJson.Wire.AnthropicModel);
    }

    private static int IndexOf(ServedModel[] models, string id, string param) => Array.FindIndex(models, model => model.Id == id) is >= 0 and var index
        ? index
        : throw RequestProblem.Invalid($"{{where}} names no model of this list.", param, "invalid_value");

    private static AnthropicModel Describe(ServedModel model) =>
        new("model", model.Id, model.Id, model.Created, "active", model.Engine.ContextLength, model.Engine.ContextLength);
}
