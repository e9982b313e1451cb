using System.Buffers;
using System.Text;

namespace InferenceServer.InProcess;

/// <summary>Texts from the app, which a tokenizer is to take.</summary>
internal static class PromptText
{
    /// <exception cref="RequestProblem">It holds a NUL, which native code takes for its end, or half a surrogate pair, which has no bytes.</exception>
    public static string Checked(string text, string path)
    {
        if (text.Contains('\0'))
            throw RequestProblem.Invalid("{where} contains a NUL character.", path, "invalid_value");
        ReadOnlySpan<char> rest = text;
        for (int at; (at = rest.IndexOfAnyInRange('\uD800', '\uDFFF')) >= 0; rest = rest[(at + 2)..])
            if (Rune.DecodeFromUtf16(rest[at..], out _, out _) != OperationStatus.Done)
                throw RequestProblem.Invalid("{where} is not valid Unicode text: it has half a surrogate pair.", path, "invalid_value");
        return text;
    }
}
