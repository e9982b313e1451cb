namespace InferenceServer.Chat;

/// <summary>What a tool gave back, as text for the model.</summary>
/// <param name="IsError">The tool, or the way to it, failed: the text says how.</param>
public sealed record HostedResult(string Text, bool IsError = false)
{
    public static HostedResult Error(string text) => new(text, true);
}

/// <summary>A tool that the server runs itself when a reply calls it, instead of handing the call to the client.</summary>
/// <param name="Server">Whose tool it is.</param>
/// <param name="Name">What its server calls it.</param>
/// <param name="Offered">What the model is told of it. Its name is the one that calls use, and belongs to no other tool of a request.</param>
/// <param name="NeedsApproval">A call of it ends the reply; it runs once the client has approved it.</param>
/// <param name="Run">Runs it with arguments, a JSON object as text. What goes wrong with the tool is a result. Throws only when it is cancelled.</param>
public sealed record HostedTool(string Server, string Name, ChatTool Offered, bool NeedsApproval, Func<string, CancellationToken, Task<HostedResult>> Run);

/// <summary>A call of such a tool.</summary>
/// <param name="Id">What joins it and its result in the conversation.</param>
/// <param name="Arguments">A JSON object, as text.</param>
public sealed record HostedCall(string Id, HostedTool Tool, string Arguments)
{
    /// <summary>The client's approval, where it needed one; null for none.</summary>
    public string? Approval { get; init; }

    /// <summary>Null while it runs, and where it does not.</summary>
    public HostedResult? Result { get; init; }

    public bool AwaitsApproval => Tool.NeedsApproval && Approval is null;
}

/// <summary>How far a reply may go with such tools.</summary>
/// <param name="MaxRounds">Times that the model may go on after results.</param>
/// <param name="MaxCalls">Calls of one request.</param>
/// <param name="Time">Of all calls of one request together.</param>
public sealed record HostedLimits(int MaxRounds, int MaxCalls, TimeSpan Time)
{
    /// <summary>An agent's task takes a handful; what takes more goes in circles.</summary>
    public static HostedLimits Default { get; } = new(16, 64, TimeSpan.FromMinutes(5));
}

/// <summary>The tools of a request that the server runs itself.</summary>
public sealed record HostedTools(IReadOnlyList<HostedTool> Tools, TimeProvider Clock)
{
    public HostedLimits Limits { get; init; } = HostedLimits.Default;

    /// <summary>Calls to run before the model goes on. The conversation holds each, and for its result a message with no text.</summary>
    public IReadOnlyList<HostedCall> Approved { get; init; } = [];

    /// <summary>Null for a tool of the client's.</summary>
    public HostedTool? Find(string offered) => Tools.FirstOrDefault(tool => tool.Offered.Name == offered);

    /// <summary>The request with these tools beside its own. One of its own that has the name of one of these stands in its place.</summary>
    public ChatRequest OfferIn(ChatRequest request)
    {
        HashSet<string> own = [.. request.Tools.Select(tool => tool.Name)];
        HostedTools offered = this with { Tools = [.. Tools.Where(tool => !own.Contains(tool.Offered.Name))] };
        return request with { Tools = [.. request.Tools, .. offered.Tools.Select(tool => tool.Offered)], Hosted = offered };
    }
}
