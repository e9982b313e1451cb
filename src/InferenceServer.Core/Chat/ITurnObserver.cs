using InferenceServer.Engine;
using InferenceServer.Moderation;

namespace InferenceServer.Chat;

/// <summary>Who keeps count of a turn: the server for its metrics and its log, an app in the same process for what it tells about a reply.</summary>
internal interface ITurnObserver
{
    /// <summary>The request is well formed and goes to the engine.</summary>
    void Accepted(string model, IReadOnlyList<GenerationRequest> requests);

    /// <summary>The engine has it.</summary>
    void Submitted(GenerationSet generations);

    /// <summary>A token of a choice has come.</summary>
    void Token(int choice);

    /// <summary>Every choice ended well; in choice order.</summary>
    void Finished(IReadOnlyList<GenerationResult> results);

    /// <summary>Moderation judged a part.</summary>
    /// <param name="part">input or output.</param>
    void Moderated(ModerationRules rules, ModerationVerdict verdict, string part, bool refused);

    /// <summary>The moderation model could not judge a part.</summary>
    /// <param name="part">input or output.</param>
    void Unjudged(string part);
}
