using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Chat;
using InferenceServer.Mcp;
using InferenceServer.Models;

namespace InferenceServer.Api.Tokens;

/// <summary>Between texts and tokens, without generating: POST /tokenize, /detokenize, /apply-template and /v1/chat/completions/input_tokens.</summary>
internal sealed class TokenEndpoints(ModelCatalogue models, McpServers mcp)
{
    // As many ids as a body of the largest size can hold.
    private const int MaxTokens = 16 << 20;

    public async Task TokenizeAsync(HttpContext http)
    {
        TokenizeRequest request;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            request = new TokenizeRequest
            {
                Content = fields.RequireString("content"),
                AddSpecial = fields.Boolean("add_special") ?? false,
                ParseSpecial = fields.Boolean("parse_special") ?? true,
                WithPieces = fields.Boolean("with_pieces") ?? false,
                Model = fields.String("model"),
            };
            Announce(http, fields);
        }

        ServedVocabulary vocabulary = (await models.UseAsync(http, request.Model)).Vocabulary;
        int[] tokens = vocabulary.Tokenize(request.Content, request.AddSpecial, request.ParseSpecial);
        await using Utf8JsonWriter json = new(http.Response.BodyWriter, new JsonWriterOptions { Encoder = TokenJson.Wire.Options.Encoder });
        http.Response.ContentType = "application/json";
        json.WriteStartObject();
        json.WriteStartArray("tokens");
        foreach (int token in tokens)
            if (request.WithPieces)
                WritePiece(json, token, vocabulary.Bytes(token, true));
            else
                json.WriteNumberValue(token);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public async Task DetokenizeAsync(HttpContext http)
    {
        DetokenizeRequest request;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            request = new DetokenizeRequest
            {
                Tokens = JsonFields.Items(fields.Require("tokens"), "tokens", 0, MaxTokens)
                    .ConvertAll(token => (int)JsonValue.Integer(token.Value, token.Path, 0, int.MaxValue)),
                Model = fields.String("model"),
            };
            Announce(http, fields);
        }

        ServedVocabulary vocabulary = (await models.UseAsync(http, request.Model)).Vocabulary;
        vocabulary.Check(request.Tokens, "tokens");
        await JsonAnswer.WriteAsync(http, new DetokenizedText(vocabulary.Text(request.Tokens)), TokenJson.Wire.DetokenizedText);
    }

    public async Task ApplyTemplateAsync(HttpContext http)
    {
        (ServedModel model, ChatRequest request) = await ReadChatAsync(http);
        List<string> adaptations = [];
        string text = ChatPrompt.Render(request, model, adaptations).Text;
        RequestHints.Announce(http, adaptations);
        await JsonAnswer.WriteAsync(http, new RenderedPrompt(text), TokenJson.Wire.RenderedPrompt);
    }

    public async Task CountChatAsync(HttpContext http)
    {
        (ServedModel model, ChatRequest request) = await ReadChatAsync(http);
        List<string> adaptations = [];
        int tokens = ChatPrompt.Tokenize(request, model, adaptations).Length;
        RequestHints.Announce(http, adaptations);
        await JsonAnswer.WriteAsync(http, new InputTokenCount(tokens), TokenJson.Wire.InputTokenCount);
    }

    private async Task<(ServedModel Model, ChatRequest Request)> ReadChatAsync(HttpContext http)
    {
        ChatCall call = await JsonBody.ReadAsync(http, ChatRequestParser.ParsePrompt);
        return (await models.UseAsync(http, call.Model), await mcp.OfferAsync(call.Chat, call.Mcp, http.RequestAborted));
    }

    private static void Announce(HttpContext http, JsonFields fields)
    {
        List<string> ignored = [];
        fields.Close(ignored);
        IgnoredParameters.Announce(http.Response, ignored);
    }

    /// <summary>A token need not be whole characters: then its bytes are numbers, since JSON has no other way to say them.</summary>
    private static void WritePiece(Utf8JsonWriter json, int token, ReadOnlySpan<byte> bytes)
    {
        json.WriteStartObject();
        json.WriteNumber("id", token);
        if (Utf8.IsValid(bytes))
            json.WriteString("piece", bytes);
        else
        {
            json.WriteStartArray("piece");
            foreach (byte value in bytes)
                json.WriteNumberValue(value);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }
}
