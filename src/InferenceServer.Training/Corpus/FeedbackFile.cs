// Reads what users of the server thought of replies: one JSON object a line, as /v1/feedback/export writes them.
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace InferenceServer.Training.Corpus;

public static class FeedbackFile
{
    private const string Skill = "feedback";

    internal sealed record MessageLine(string Role, string Content);

    /// <summary>A line of format sft.</summary>
    internal sealed record DialogueLine(MessageLine[] Messages);

    /// <summary>A line of format dpo.</summary>
    internal sealed record PreferenceLine(MessageLine[] Prompt, MessageLine[] Chosen, MessageLine[] Rejected);

    /// <summary>Dialogues of format sft, each with the reply to learn at its end.</summary>
    /// <exception cref="InvalidDataException">A line is something else, or there is none; the message names it.</exception>
    public static IReadOnlyList<Dialogue> ReadDialogues(string path) => Read(path, line =>
    {
        DialogueLine dialogue = Parse(line, TrainingJson.Default.DialogueLine);
        return dialogue.Messages is [.., { Role: "assistant" }] && Array.TrueForAll(dialogue.Messages, IsWhole)
            ? new Dialogue([.. dialogue.Messages.Select(m => new Message(m.Role, m.Content))], Skill)
            : throw new InvalidDataException("messages must be texts with roles, the last one the assistant's");
    });

    /// <summary>Pairs of format dpo or reward.</summary>
    /// <exception cref="InvalidDataException">A line is something else, or there is none; the message names it.</exception>
    public static IReadOnlyList<Comparison> ReadComparisons(string path) => Read(path, line =>
    {
        using JsonDocument json = JsonDocument.Parse(line);
        if (json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("chosen", out JsonElement chosen) && chosen.ValueKind == JsonValueKind.String)
        {
            Comparison pair = Parse(line, TrainingJson.Default.Comparison);
            return pair is { Prompt.Length: > 0, Chosen: not null, Rejected: not null, Kind: not null } && Array.TrueForAll(pair.Prompt, m => m is { Role: not null, Text: not null })
                ? pair
                : throw new InvalidDataException("prompt, chosen, rejected and kind are needed");
        }

        PreferenceLine preference = Parse(line, TrainingJson.Default.PreferenceLine);
        return preference is { Prompt.Length: > 0, Chosen: [{ Content: not null }], Rejected: [{ Content: not null }] } && Array.TrueForAll(preference.Prompt, IsWhole)
            ? new Comparison([.. preference.Prompt.Select(m => new Message(m.Role, m.Content))], preference.Chosen[0].Content, preference.Rejected[0].Content, Skill)
            : throw new InvalidDataException("prompt must be texts with roles, chosen and rejected one message each");
    });

    private static bool IsWhole(MessageLine? message) => message is { Role: not null, Content: not null };

    private static T Parse<T>(string line, JsonTypeInfo<T> type) => JsonSerializer.Deserialize(line, type) ?? throw new InvalidDataException("null");

    private static List<T> Read<T>(string path, Func<string, T> parse)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"No feedback at {path}: fetch it from the server's /v1/feedback/export.");
        }

        List<T> read = [];
        foreach (string line in File.ReadLines(path))
        {
            try
            {
                read.Add(parse(line));
            }
            catch (Exception e) when (e is JsonException or InvalidDataException)
            {
                throw new InvalidDataException($"{path}({read.Count + 1}): {e.Message}", e);
            }
        }

        return read.Count > 0 ? read : throw new InvalidDataException($"{path} holds no feedback.");
    }
}
