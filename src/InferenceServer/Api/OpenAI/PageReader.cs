using System.Globalization;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI;

/// <summary>Reads which part of a list a query asks for: <c>after</c>, <c>limit</c>, <c>order</c>.</summary>
internal static class PageReader
{
    private const int MaxLimit = 100;
    private const int DefaultLimit = 20;

    public static PageQuery Read(HttpRequest request, bool descendingByDefault)
    {
        int limit = DefaultLimit;
        if (request.Query["limit"].ToString() is { Length: > 0 } given
            && (!int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > MaxLimit))
            throw RequestProblem.Invalid($"{{where}} must be an integer from 1 to {MaxLimit}.", "limit", "out_of_range");
        bool descending = request.Query["order"].ToString() switch
        {
            "" => descendingByDefault,
            "asc" => false,
            "desc" => true,
            string other => throw JsonValue.NotOneOf("order", other, ["asc", "desc"]),
        };
        string? after = request.Query["after"];
        return new PageQuery(string.IsNullOrEmpty(after) ? null : after, limit, descending);
    }
}
