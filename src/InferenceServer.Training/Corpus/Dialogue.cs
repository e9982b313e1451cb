namespace InferenceServer.Training.Corpus;

/// <summary>One message of a dialogue; <see cref="Role"/> is "system", "user" or "assistant".</summary>
public sealed record Message(string Role, string Text);

/// <summary>One question and its reply.</summary>
public sealed record Exchange(string User, string Assistant);

/// <summary>A dialogue for training. <see cref="Skill"/> names the skill of its last exchange.</summary>
public sealed record Dialogue(IReadOnlyList<Message> Messages, string Skill)
{
    /// <summary>Everything before the last reply, as one string; decides what is held out.</summary>
    public string PromptText => string.Join('\n', Messages.Take(Messages.Count - 1).Select(m => m.Role + ": " + m.Text));
}

/// <summary>
/// What training never sees and evaluation draws from, chosen by a hash of the part itself: a question about a fact, a sum,
/// a name, a harmful act. A part held out is missing from every dialogue, whatever stands around it.
/// </summary>
public static class HeldOut
{
    public const ulong OneQuestionIn = 40;
    public const ulong OneNameIn = 20;
    public const ulong OneActIn = 10;

    /// <summary>True for one in <paramref name="oneIn"/> of all texts (FNV-1a).</summary>
    public static bool Contains(string text, ulong oneIn)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in text)
        {
            hash = (hash ^ c) * 1099511628211;
        }

        return (hash >> 17) % oneIn == 0;
    }
}
