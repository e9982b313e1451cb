using InferenceServer.Moderation;

namespace InferenceServer.Api.Moderation;

/// <summary>The <c>moderation</c> of a chat or a response.</summary>
internal static class ModerationReader
{
    /// <summary>Null where the request asks for none. Without a policy it wants scores.</summary>
    public static ModerationAsked? Read(JsonFields body, List<string> ignored)
    {
        if (body.Object("moderation") is not { } moderation)
            return null;
        string model = moderation.RequireString("model");
        ModerationMode input = ModerationMode.Flag, output = ModerationMode.Flag;
        if (moderation.Object("policy") is { } policy)
        {
            (input, output) = (ReadMode(policy, "input", ignored), ReadMode(policy, "output", ignored));
            policy.Close(ignored);
        }

        moderation.Close(ignored);
        return new(model, input, output);
    }

    private static ModerationMode ReadMode(JsonFields policy, string name, List<string> ignored)
    {
        if (policy.Object(name) is not { } part)
            return ModerationMode.Flag;
        _ = part.Require("mode");
        ModerationMode mode = part.OneOf("mode", "score", "block") == "block" ? ModerationMode.Refuse : ModerationMode.Flag;
        part.Close(ignored);
        return mode;
    }
}
