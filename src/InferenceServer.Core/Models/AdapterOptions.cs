namespace InferenceServer.Models;

/// <summary>A LoRA adapter that is loaded with its model.</summary>
/// <param name="Name">What requests call it, behind the model's name and a colon.</param>
/// <param name="Path">A GGUF file.</param>
/// <param name="Scale">How much it counts.</param>
/// <param name="IsOwn">It is a part of the model: it counts in every request that chooses no others, and has no name of its own.</param>
public sealed record AdapterOptions(string Name, string Path, float Scale = 1, bool IsOwn = false)
{
    public const float MostScale = 100;

    private const int MaxNameLength = 64;

    public const string NameForm = "1 to 64 letters, digits, dots, dashes and underscores";

    /// <summary>A colon ends the model's name before it, and a stroke that of its owner.</summary>
    public static bool IsName(string name) => name.Length is > 0 and <= MaxNameLength && name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');
}
