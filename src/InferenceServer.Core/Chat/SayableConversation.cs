using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat;

/// <summary>
/// Rules that make any conversation one that a template can say. Each is there for what the template was found not to take, and none drops a text.
/// What was done is named, so that whoever asked can know.
/// </summary>
internal static class SayableConversation
{
    // Stands where a template wants a user's turn and nobody said anything.
    private const string NoWords = "...";

    private static readonly (string Name, Func<List<ChatMessage>, ChatTemplateFeatures, List<ChatMessage>> Rule)[] Rules =
    [
        ("developer-as-system", DeveloperAsSystem),
        ("instructions-joined", JoinInstructions),
        ("instructions-to-user", GiveInstructionsToUser),
        ("result-to-user", GiveLoneResultsToUser),
        ("user-added", AddUser),
        ("silent-turn-left-out", LeaveOutSilence),
        ("turns-joined", JoinNeighbours),
        ("assistant-added", AddAssistant),
    ];

    /// <summary>As the template can say it.</summary>
    public static ChatConversation Of(ChatConversation conversation, ChatTemplateFeatures features)
    {
        foreach ((string name, Func<List<ChatMessage>, ChatTemplateFeatures, List<ChatMessage>> rule) in Rules)
            conversation = Apply(conversation, name, messages => rule(messages, features));
        return conversation;
    }

    /// <summary>With calls whose arguments are JSON; before anything reads them.</summary>
    public static ChatConversation WithWholeCalls(ChatConversation conversation) => Apply(conversation, "calls-as-text", CutCallsAsText);

    /// <summary>With texts that a tokenizer takes; before anything reads them.</summary>
    public static ChatConversation WithSayableCharacters(ChatConversation conversation) => Apply(conversation, "characters-replaced", ReplaceNul);

    /// <summary>Native code takes C strings, and no tokenizer has a token for NUL.</summary>
    private static List<ChatMessage> ReplaceNul(List<ChatMessage> messages)
    {
        static bool Has(string? text) => text?.Contains('\0', StringComparison.Ordinal) == true;
        static bool HasAny(ChatMessage message) => message.Parts?.Any(Has) == true || Has(message.Reasoning);
        return !messages.Exists(HasAny) ? messages : messages.ConvertAll(message => !HasAny(message) ? message : message with
        {
            Parts = message.Parts?.Select(part => part.Replace('\0', '\uFFFD')).ToList(),
            Reasoning = message.Reasoning?.Replace('\0', '\uFFFD'),
        });
    }

    private static ChatConversation Apply(ChatConversation conversation, string name, Func<List<ChatMessage>, List<ChatMessage>> rule)
    {
        List<ChatMessage> before = [.. conversation.Messages], after = rule(before);
        if (ReferenceEquals(after, before))
            return conversation;
        conversation.Adaptations?.Add(name);
        return conversation with { Messages = after };
    }

    /// <summary>A call that was cut off is no JSON, and no template can say it as a call.</summary>
    private static List<ChatMessage> CutCallsAsText(List<ChatMessage> messages)
    {
        if (!messages.Exists(message => message.ToolCalls?.Any(call => !IsObject(call.Arguments)) == true))
            return messages;
        HashSet<string> answered = [.. messages.Select(message => message.ToolCallId).OfType<string>()];
        return messages.ConvertAll(message => message.ToolCalls?.Any(call => !IsObject(call.Arguments)) == true ? WithoutCutCalls(message, answered) : message);
    }

    private static ChatMessage WithoutCutCalls(ChatMessage message, HashSet<string> answered)
    {
        List<ChatToolCall> calls = [];
        StringBuilder text = new(message.Text);
        foreach (ChatToolCall call in message.ToolCalls!)
        {
            if (IsObject(call.Arguments))
                calls.Add(call);
            // Somebody has answered it: without the call its result would hang in the air.
            else if (answered.Contains(call.Id))
                calls.Add(call with { Arguments = $"{{\"arguments\": \"{JsonEncodedText.Encode(call.Arguments)}\"}}" });
            else
                text.Append(text.Length > 0 ? "\n" : "").Append(call.Name).Append(' ').Append(call.Arguments);
        }

        return message with { Text = text.Length > 0 ? text.ToString() : message.Text, ToolCalls = calls.Count > 0 ? calls : null };
    }

    private static bool IsObject(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static List<ChatMessage> DeveloperAsSystem(List<ChatMessage> messages, ChatTemplateFeatures features) =>
        features.TakesDeveloperRole || !messages.Exists(message => message.Role == ChatRole.Developer)
            ? messages
            : messages.ConvertAll(message => message.Role == ChatRole.Developer ? message with { Role = ChatRole.System } : message);

    private static List<ChatMessage> JoinInstructions(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        int head = messages.TakeWhile(message => message.Role.Instructs()).Count();
        if (head < 2 || (features.TakesSeveralInstructions && features.TakesSystemRole))
            return messages;
        // The last one's role: a developer's instructions are the more special ones.
        ChatMessage joined = messages[head - 1] with { Parts = null, Text = string.Join("\n\n", messages.Take(head).Select(message => message.Text)) };
        return [joined, .. messages.Skip(head)];
    }

    /// <summary>Instructions that the template has no place for stand before what the user says next, or are a turn of the user's own.</summary>
    private static List<ChatMessage> GiveInstructionsToUser(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        int head = features.TakesSystemRole && messages is [{ Role: ChatRole.System or ChatRole.Developer }, ..] ? messages.TakeWhile(message => message.Role.Instructs()).Count() : 0;
        if (!messages.Skip(head).Any(message => message.Role.Instructs()) || (features.TakesSystemRole && features.TakesLateInstructions))
            return messages;
        List<ChatMessage> said = [.. messages.Take(head)];
        List<string> held = [];
        foreach (ChatMessage message in messages.Skip(head))
        {
            if (message.Role.Instructs())
            {
                held.Add(message.Text ?? "");
                continue;
            }

            if (held.Count > 0 && message.Role == ChatRole.User)
                said.Add(message with { Parts = null, Text = string.Join("\n\n", held.Append(message.Text)) });
            else
            {
                if (held.Count > 0)
                    said.Add(new ChatMessage { Role = ChatRole.User, Text = string.Join("\n\n", held) });
                said.Add(message);
            }

            held.Clear();
        }

        if (held.Count > 0)
            said.Add(new ChatMessage { Role = ChatRole.User, Text = string.Join("\n\n", held) });
        return said;
    }

    /// <summary>A result whose call is not there, such as one at the beginning of a conversation that was cut.</summary>
    private static List<ChatMessage> GiveLoneResultsToUser(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        int first = messages.FindIndex(message => !message.Role.Instructs());
        if (first < 0 || messages[first].Role != ChatRole.Tool || (features.TakesToolFirst && features.TakesUserAfterResult))
            return messages;
        List<ChatMessage> said = [.. messages];
        for (int i = first; i < said.Count && said[i].Role == ChatRole.Tool; i++)
            said[i] = new ChatMessage { Role = ChatRole.User, Text = $"<tool_response>\n{said[i].Text}\n</tool_response>" };
        return said;
    }

    private static List<ChatMessage> AddUser(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        int first = messages.FindIndex(message => !message.Role.Instructs());
        if (first >= 0 && messages[first].Role == ChatRole.Assistant && !features.TakesAssistantFirst)
            return [.. messages.Take(first), new ChatMessage { Role = ChatRole.User, Text = NoWords }, .. messages.Skip(first)];
        if (messages.Exists(message => message.Role == ChatRole.User) || features.TakesNoUser)
            return messages;
        // Nobody but the application speaks: its last word is what is to be answered.
        return first < 0 && messages.Count > 0 ? [.. messages.SkipLast(1), messages[^1] with { Role = ChatRole.User }] : [.. messages, new ChatMessage { Role = ChatRole.User, Text = NoWords }];
    }

    private static List<ChatMessage> LeaveOutSilence(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        static bool IsSilent(ChatMessage message) => message is { Role: ChatRole.Assistant, ToolCalls: null } && string.IsNullOrEmpty(message.Text);
        if (features.TakesSilentAssistant || !messages.Exists(IsSilent))
            return messages;
        return [.. messages.Where(message => !IsSilent(message) || message.Reasoning is not null).Select(message => IsSilent(message) ? message with { Text = NoWords } : message)];
    }

    private static List<ChatMessage> AddAssistant(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        bool Follows(int i) => messages[i].Role == ChatRole.User && messages[i - 1].Role == ChatRole.Tool;
        if (features.TakesUserAfterResult || !Enumerable.Range(1, Math.Max(0, messages.Count - 1)).Any(Follows))
            return messages;
        List<ChatMessage> said = [];
        for (int i = 0; i < messages.Count; i++)
        {
            if (i > 0 && Follows(i))
                said.Add(new ChatMessage { Role = ChatRole.Assistant, Text = NoWords });
            said.Add(messages[i]);
        }

        return said;
    }

    private static List<ChatMessage> JoinNeighbours(List<ChatMessage> messages, ChatTemplateFeatures features)
    {
        bool IsSame(int i) => messages[i].Role == messages[i - 1].Role
            && (messages[i].Role == ChatRole.User || (messages[i].Role == ChatRole.Assistant && messages[i - 1].ToolCalls is null));
        if (features.TakesEqualNeighbours || !Enumerable.Range(1, Math.Max(0, messages.Count - 1)).Any(IsSame))
            return messages;
        List<ChatMessage> said = [];
        for (int i = 0; i < messages.Count; i++)
        {
            if (i > 0 && IsSame(i))
                said[^1] = Join(said[^1], messages[i]);
            else
                said.Add(messages[i]);
        }

        return said;
    }

    private static ChatMessage Join(ChatMessage before, ChatMessage after) => after with
    {
        Parts = [.. before.Parts ?? [], .. after.Parts ?? []],
        Reasoning = before.Reasoning is null || after.Reasoning is null ? before.Reasoning ?? after.Reasoning : $"{before.Reasoning}\n{after.Reasoning}",
    };
}
