using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Store;

namespace InferenceServer.Api.Feedback;

/// <summary>
/// Feedback as lines to train on, each a JSON object: only what is all text, since a call of a function is no text to learn. For fine-tuning: whole replies that were
/// rated up, and ideal answers. Of preferences: comparisons, ideal answers over what they replace, and replies rated up over those rated down to the same prompt.
/// </summary>
internal static class FeedbackExport
{
    public const string Sft = "sft";
    public const string Dpo = "dpo";
    public const string Reward = "reward";

    // Prompts are long: so many records are in memory at once.
    private const int AtOnce = 64;

    public static FeedbackRecord Read(StoredFeedback stored) => JsonSerializer.Deserialize(stored.Body, FeedbackJson.Wire.FeedbackRecord)!;

    /// <summary>Writes lines until all are written or the reader is gone.</summary>
    public static async Task WriteAsync(FeedbackStore feedback, string owner, string format, PipeWriter output, CancellationToken aborted)
    {
        long after = 0;
        while (await feedback.ReadAsync(owner, after, AtOnce) is { Count: > 0 } page)
        {
            foreach ((long seq, StoredFeedback stored) in page)
            {
                after = seq;
                FeedbackRecord record = Read(stored);
                if (!record.IsText)
                    continue;
                if (format == Sft)
                    WriteExample(record, output);
                else
                    foreach ((string kind, string chosen, string rejected) in await PairsAsync(feedback, stored, record))
                        WritePair(record, kind, chosen, rejected, format, output);
            }

            await output.FlushAsync(aborted);
        }
    }

    private static void WriteExample(FeedbackRecord record, PipeWriter output)
    {
        string? reply = record.Kind switch
        {
            FeedbackRecord.EditKind => record.Ideal,
            FeedbackRecord.RatingKind when record is { Rating: FeedbackRecord.Up, Reply.Status: ModelResponse.Completed } => record.Reply.Content,
            _ => null,
        };
        if (!string.IsNullOrEmpty(reply))
            WriteLine(output, new SftExample([.. Texts(record), new PromptMessage("assistant", reply)]), FeedbackJson.Wire.SftExample);
    }

    private static async Task<IEnumerable<(string Kind, string Chosen, string Rejected)>> PairsAsync(FeedbackStore feedback, StoredFeedback stored, FeedbackRecord record) => record.Kind switch
    {
        FeedbackRecord.ComparisonKind => [(record.Kind, record.Chosen!.Content ?? "", record.Rejected!.Content ?? "")],
        FeedbackRecord.EditKind => [(record.Kind, record.Ideal!, record.Reply!.Content ?? "")],
        // From the side of the one that was rated up; the other ones are read when it is come to.
        FeedbackRecord.RatingKind when record.Rating == FeedbackRecord.Up => (await feedback.RatedDownAsync(stored.Owner, stored.Prompt)).Select(Read)
            .Where(worse => worse.IsText).Select(worse => (record.Kind, record.Reply!.Content ?? "", worse.Reply!.Content ?? "")),
        _ => [],
    };

    private static void WritePair(FeedbackRecord record, string kind, string chosen, string rejected, string format, PipeWriter output)
    {
        if (chosen == rejected)
            return;
        if (format == Dpo)
            WriteLine(output, new DpoExample(Texts(record), [new PromptMessage("assistant", chosen)], [new PromptMessage("assistant", rejected)]), FeedbackJson.Wire.DpoExample);
        else
            WriteLine(output, new RewardExample([.. record.Prompt.Select(message => new RewardMessage(message.Role, message.Content ?? ""))], chosen, rejected, kind), FeedbackJson.Wire.RewardExample);
    }

    /// <summary>What was said, without what was thought.</summary>
    private static List<PromptMessage> Texts(FeedbackRecord record) => [.. record.Prompt.Select(message => new PromptMessage(message.Role, message.Content ?? ""))];

    private static void WriteLine<T>(PipeWriter output, T line, JsonTypeInfo<T> type)
    {
        output.Write(JsonSerializer.SerializeToUtf8Bytes(line, type));
        output.Write("\n"u8);
    }
}
