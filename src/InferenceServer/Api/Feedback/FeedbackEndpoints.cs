using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Store;

namespace InferenceServer.Api.Feedback;

/// <summary>/v1/feedback: what people thought of replies, kept until they delete it.</summary>
internal sealed class FeedbackEndpoints(ServerStore store, FeedbackSubjects subjects, TimeProvider clock)
{
    private const int MaxReason = 10_000;
    private const int MaxIdeal = 200_000;

    public async Task CreateAsync(HttpContext http)
    {
        FeedbackRequest request = await ReadAsync(http);
        string owner = StoreOwner.Of(http);
        DateTimeOffset now = clock.GetUtcNow();
        bool isComparison = request.Kind == FeedbackRecord.ComparisonKind;
        FeedbackSubject subject = isComparison
            ? await subjects.FindAsync(owner, request.Chosen!, "chosen")
            : request.ItemId is { } item ? await subjects.FindAsync(owner, item, "item_id") : await subjects.FindAsync(owner, request.ResponseId!, "response_id");
        FeedbackSubject? other = isComparison ? await OtherAsync(owner, subject, request.Rejected!) : null;
        FeedbackRecord record = new()
        {
            Id = $"fb_{Guid.NewGuid():N}",
            CreatedAt = now.ToUnixTimeSeconds(),
            Kind = request.Kind,
            Rating = request.Rating,
            Reason = request.Reason,
            Ideal = request.Ideal,
            Prompt = subject.Prompt.Messages,
            Tools = subject.Prompt.Tools is { Count: > 0 } tools ? tools : null,
            Reply = isComparison ? null : subject.Reply,
            Chosen = isComparison ? subject.Reply : null,
            Rejected = other?.Reply,
        };
        await store.Feedback.AddAsync(new StoredFeedback(record.Id, owner, now, record.Kind, record.Model, other?.Reply.Model, record.Rating,
            string.Join(' ', ((string?[])[subject.Reply.ResponseId, other?.Reply.ResponseId]).OfType<string>().Order(StringComparer.Ordinal)), subject.PromptHash,
            JsonSerializer.SerializeToUtf8Bytes(record, FeedbackJson.Wire.FeedbackRecord)));
        await JsonAnswer.WriteAsync(http, record, FeedbackJson.Wire.FeedbackRecord);
    }

    public async Task ListAsync(HttpContext http)
    {
        PageQuery query = PageReader.Read(http.Request, descendingByDefault: true);
        string kind = http.Request.Query["kind"].ToString(), model = http.Request.Query["model"].ToString();
        if (kind is not ("" or FeedbackRecord.RatingKind or FeedbackRecord.ComparisonKind or FeedbackRecord.EditKind))
            throw JsonValue.NotOneOf("kind", kind, [FeedbackRecord.RatingKind, FeedbackRecord.ComparisonKind, FeedbackRecord.EditKind]);
        Page<StoredFeedback> page = await store.Feedback.ListAsync(StoreOwner.Of(http), query, kind.Length > 0 ? kind : null, model.Length > 0 ? model : null);
        List<FeedbackRecord> records = [.. page.Items.Select(Read)];
        await JsonAnswer.WriteAsync(http, new FeedbackList("list", records, records.Count > 0 ? records[0].Id : "", records.Count > 0 ? records[^1].Id : "", page.HasMore), FeedbackJson.Wire.FeedbackList);
    }

    public async Task RetrieveAsync(HttpContext http) =>
        await JsonAnswer.WriteAsync(http, Read(await store.Feedback.FindAsync(StoreOwner.Of(http), IdOf(http)) ?? throw NotFound(http)), FeedbackJson.Wire.FeedbackRecord);

    public async Task DeleteAsync(HttpContext http)
    {
        if (!await store.Feedback.DeleteAsync(StoreOwner.Of(http), IdOf(http)))
            throw NotFound(http);
        await JsonAnswer.WriteAsync(http, new Deletion(IdOf(http), "feedback.deleted", true), OpenAIJson.Wire.Deletion);
    }

    public async Task DeleteAllAsync(HttpContext http) =>
        await JsonAnswer.WriteAsync(http, new FeedbackDeletion("feedback.deleted", true, await store.Feedback.DeleteAllAsync(StoreOwner.Of(http))), FeedbackJson.Wire.FeedbackDeletion);

    public async Task SummariseAsync(HttpContext http) =>
        await JsonAnswer.WriteAsync(http, FeedbackStatistics.Summarise(await store.Feedback.CountAsync(StoreOwner.Of(http))), FeedbackJson.Wire.FeedbackSummary);

    public async Task ExportAsync(HttpContext http)
    {
        string name = http.Request.Query["format"].ToString();
        if (name is not (FeedbackExport.Sft or FeedbackExport.Dpo or FeedbackExport.Reward))
            throw JsonValue.NotOneOf("format", name, [FeedbackExport.Sft, FeedbackExport.Dpo, FeedbackExport.Reward]);
        FeedbackStore feedback = store.Feedback;
        http.Response.ContentType = "application/jsonl";
        http.Response.Headers.ContentDisposition = $"attachment; filename=\"feedback-{name}.jsonl\"";
        await FeedbackExport.WriteAsync(feedback, StoreOwner.Of(http), name, http.Response.BodyWriter, http.RequestAborted);
    }

    private async Task<FeedbackSubject> OtherAsync(string owner, FeedbackSubject chosen, string rejected)
    {
        FeedbackSubject other = await subjects.FindAsync(owner, rejected, "rejected");
        if (other.Reply.ResponseId == chosen.Reply.ResponseId)
            throw RequestProblem.Invalid("'chosen' and 'rejected' name the same reply.", "rejected", "invalid_value");
        return other.PromptHash == chosen.PromptHash
            ? other
            : throw RequestProblem.Invalid("'chosen' and 'rejected' answer different prompts: only replies to the same messages, instructions and tools can be compared.", "rejected", "different_prompts");
    }

    private static async Task<FeedbackRequest> ReadAsync(HttpContext http)
    {
        using JsonDocument body = await JsonBody.ReadAsync(http);
        JsonFields fields = new(body.RootElement, "");
        _ = fields.Require("kind");
        FeedbackRequest request = new(fields.OneOf("kind", FeedbackRecord.RatingKind, FeedbackRecord.ComparisonKind, FeedbackRecord.EditKind)!) { Reason = Text(fields, "reason", MaxReason) };
        if (request.Kind == FeedbackRecord.ComparisonKind)
            request = request with { Chosen = fields.RequireString("chosen"), Rejected = fields.RequireString("rejected") };
        else
        {
            request = request with { ItemId = fields.String("item_id"), ResponseId = fields.String("response_id") };
            if (request is { ItemId: null, ResponseId: null })
                throw RequestProblem.Invalid("{where} or 'response_id' is required: it says which reply is meant.", "item_id", "missing_required_parameter");
            if (request is { ItemId: not null, ResponseId: not null })
                throw RequestProblem.Invalid("'item_id' and 'response_id' cannot both be given: each says which reply is meant.", "response_id", "mutually_exclusive_parameters");
        }

        if (request.Kind == FeedbackRecord.RatingKind)
        {
            _ = fields.Require("rating");
            request = request with { Rating = fields.OneOf("rating", FeedbackRecord.Up, FeedbackRecord.Down) };
        }
        else if (request.Kind == FeedbackRecord.EditKind)
        {
            _ = fields.Require("ideal");
            request = request with { Ideal = Text(fields, "ideal", MaxIdeal) };
            if (string.IsNullOrWhiteSpace(request.Ideal))
                throw RequestProblem.Invalid("{where} is empty.", "ideal", "invalid_length");
        }

        List<string> ignored = [];
        fields.Close(ignored);
        IgnoredParameters.Announce(http.Response, ignored);
        return request;
    }

    private static string? Text(JsonFields fields, string name, int max) => fields.String(name) is not { } text ? null
        : text.Length <= max ? text
        : throw RequestProblem.Invalid($"{{where}} may have at most {max} characters; it has {text.Length}.", name, "invalid_length");

    private static FeedbackRecord Read(StoredFeedback stored) => FeedbackExport.Read(stored);

    private static string IdOf(HttpContext http) => (string)http.Request.RouteValues["id"]!;

    private static RequestProblem NotFound(HttpContext http) =>
        new(ProblemKind.NotFound, $"There is no feedback '{IdOf(http)}'.", "feedback_id", "not_found");
}
