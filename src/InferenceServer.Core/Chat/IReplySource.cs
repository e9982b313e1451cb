namespace InferenceServer.Chat;

/// <summary>A stage of a reply's way: it takes events from the stage before, and gives its own to the one behind. One reader.</summary>
internal interface IReplySource
{
    /// <summary>Waits until there is something, and adds all that is there.</summary>
    /// <returns>False once every choice has ended and nothing more will come; what was added with it still counts.</returns>
    /// <exception cref="RequestProblem">A choice failed. What was added before still counts.</exception>
    ValueTask<bool> ReadAsync(List<ReplyEvent> into);
}
