using System.Text.Json;
using InferenceServer.Moderation;
using InferenceServer.Operations;

namespace InferenceServer.Api.Moderation;

/// <summary>POST /v1/moderations.</summary>
internal sealed class ModerationEndpoint(ModerationGate gate, ServerMetrics metrics)
{
    private const int MaxInputs = 2_048;

    // Matching takes time by the character, on a thread that others wait for.
    private const int MaxCharacters = 1 << 20;

    public async Task HandleAsync(HttpContext http)
    {
        List<string> inputs, ignored = [];
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            inputs = ReadInputs(fields.Require("input"), ignored);
            if (fields.String("model") is { } model)
                gate.Require(model, "model");
            fields.Close(ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        List<ModerationResult> results = new(inputs.Count);
        foreach (string input in inputs)
        {
            ModerationVerdict verdict = await CheckAsync(input, http.RequestAborted);
            metrics.Moderation.Judged(gate.Rules, verdict, "request", "reported");
            results.Add(ModerationResult.Of(gate.Rules, verdict));
        }

        await JsonAnswer.WriteAsync(http, new ModerationAnswer($"modr-{Guid.NewGuid():N}", gate.Id, results), ModerationJson.Wire.ModerationAnswer);
    }

    private async Task<ModerationVerdict> CheckAsync(string input, CancellationToken cancellation)
    {
        try
        {
            return await gate.CheckAsync(input, cancellation);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            metrics.Moderation.Failed("request");
            throw;
        }
    }

    private static List<string> ReadInputs(JsonElement input, List<string> ignored)
    {
        List<string> texts;
        if (input.ValueKind == JsonValueKind.String)
            texts = [JsonValue.String(input, "input")];
        else if (input.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(input, "input", "a string, an array of strings or an array of content parts");
        else
        {
            List<(JsonElement Value, string Path)> items = JsonFields.Items(input, "input", 1, MaxInputs);
            // Parts make up one input, as they do for OpenAI.
            texts = items[0].Value.ValueKind == JsonValueKind.Object
                ? [string.Join('\n', items.ConvertAll(item => ReadPart(item.Value, item.Path, ignored)))]
                : items.ConvertAll(item => JsonValue.String(item.Value, item.Path));
        }

        long characters = texts.Sum(text => (long)text.Length);
        return characters <= MaxCharacters
            ? texts
            : throw RequestProblem.Invalid($"{{where}} has {characters} characters; at most {MaxCharacters} are judged at a time.", "input", "invalid_length");
    }

    private static string ReadPart(JsonElement value, string path, List<string> ignored)
    {
        JsonFields part = new(value, path);
        string type = part.RequireString("type");
        if (type == "image_url")
            throw RequestProblem.Unsupported(part.PathOf("type"), "the rules judge text only, not 'image_url'.");
        if (type != "text")
            throw JsonValue.NotOneOf(part.PathOf("type"), type, ["text"]);
        string text = part.RequireString("text");
        part.Close(ignored);
        return text;
    }
}

internal static class ModerationRoutes
{
    public static void Map(WebApplication app)
    {
        ModerationEndpoint moderations = new(app.Services.GetRequiredService<WebHostOptions>().Moderation, app.Services.GetRequiredService<ServerMetrics>());
        app.MapPost("/v1/moderations", (Delegate)moderations.HandleAsync).WithName("createModeration").WithTags("Moderations")
            .WithSummary("Judge texts by the rules, and the model, that the server was given.")
            .Takes<ModerationRequest>("""{"input":"I like tea."}""").Produces<ModerationAnswer>().ProducesErrors();
    }
}
