namespace InferenceServer.Tests.Api.Compatibility;

/// <summary>A request in the shape that a client sends, written for this test, and what the server does with it. A row of docs/compatibility.md.</summary>
/// <param name="Sends">What is special about it.</param>
/// <param name="Does">What the server does with that.</param>
/// <param name="Path">With its query; of a GET the body is empty.</param>
internal sealed record Transcript(string Sends, string Does, string Path, string Body = "")
{
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

    /// <summary>What the model says, in its own notation.</summary>
    public string Reply { get; init; } = "Fine.";

    public int Status { get; init; } = 200;

    /// <summary>The header x-ignored-params; null for none.</summary>
    public string? Ignored { get; init; }

    /// <summary>The header x-conversation-adapted; null for none.</summary>
    public string? Adapted { get; init; }

    /// <summary>Before a template whose roles must take turns and whose system message stands first, as those of Llama 2, Mistral and Gemma.</summary>
    public bool BeforeStrictTemplate { get; init; }

    /// <summary>
    /// What must be in the answer, by paths such as <c>choices[0].finish_reason</c>; <c>[-1]</c> is the last of a list. A streamed answer is the list of its events, in which
    /// <c>+</c> stands for any of them: what is found there is joined.
    /// </summary>
    public IReadOnlyList<(string Path, string Value)> Facts { get; init; } = [];

    /// <summary>What must stand in the prompt that the model is given.</summary>
    public IReadOnlyList<string> Prompt { get; init; } = [];

    /// <summary>What must not.</summary>
    public IReadOnlyList<string> NotInPrompt { get; init; } = [];
}

/// <summary>A client and what it sends.</summary>
/// <param name="Settings">How it is pointed at this server.</param>
internal sealed record Client(string Name, string Settings, IReadOnlyList<Transcript> Transcripts);
