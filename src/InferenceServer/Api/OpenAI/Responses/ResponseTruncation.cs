using InferenceServer.Chat;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// <c>truncation: auto</c>: where a conversation and room for a reply do not fit the context, its oldest turns are left out, each whole, so that no answer
/// loses its question and no call its output. System messages at the head and the last turn stay.
/// </summary>
internal static class ResponseTruncation
{
    // Room for a reply whose length the client does not limit, and most that any reply is given at the cost of what was said before.
    private const int DefaultReplyShare = 8;
    private const int LargestReplyShare = 2;

    /// <exception cref="RequestProblem">400: not even the last turn fits.</exception>
    public static (ChatRequest Request, TruncationReport? Report) Fit(ChatRequest request, ServedModel model)
    {
        int context = model.ContextLength;
        int room = context - Math.Min(request.Options.MaxOutputTokens ?? context / DefaultReplyShare, context / LargestReplyShare);
        int head = 0;
        while (head < request.Messages.Count && request.Messages[head].Role.Instructs())
            head++;
        List<int> turns = [head];
        for (int i = head + 1; i < request.Messages.Count; i++)
            if (request.Messages[i].Role == ChatRole.User)
                turns.Add(i);
        if (Fits(request, model, room))
            return (request, null);

        // Fewer turns are fewer tokens: the least number to drop is found by halving.
        (int low, int high) = (1, turns.Count - 1);
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (Fits(Without(request, head, turns[middle]), model, room))
                high = middle;
            else
                low = middle + 1;
        }

        // If this does not fit either, the translator says so.
        if (turns.Count == 1)
            return (request, null);
        return (Without(request, head, turns[low]), new TruncationReport(low, turns[low] - head));
    }

    /// <summary>Leaves out what a report says was left out.</summary>
    public static List<ChatMessage> Drop(List<ChatMessage> messages, TruncationReport report)
    {
        int head = messages.TakeWhile(message => message.Role.Instructs()).Count();
        return [.. messages.Take(head), .. messages.Skip(head + report.DroppedMessages)];
    }

    private static ChatRequest Without(ChatRequest request, int from, int to) =>
        request with { Messages = [.. request.Messages.Take(from), .. request.Messages.Skip(to)] };

    private static bool Fits(ChatRequest request, ServedModel model, int room)
    {
        try
        {
            return ChatPrompt.Tokenize(request, model).Length <= room;
        }
        catch (RequestProblem error) when (error.Code == "context_length_exceeded")
        {
            // Its text alone is so long that nobody counted its tokens.
            return false;
        }
    }
}
