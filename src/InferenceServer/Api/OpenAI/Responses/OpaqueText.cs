using System.Buffers.Text;
using System.Text;
using System.Text.Unicode;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// The <c>encrypted_content</c> of reasoning and compactions: a text that clients carry back without reading it. It is written plainly, not enciphered:
/// nothing in it is kept from those who may read the reply, and so it outlives restarts and keys.
/// </summary>
internal static class OpaqueText
{
    private const string Prefix = "text-1.";

    public static string Write(string text) => Prefix + Base64Url.EncodeToString(Encoding.UTF8.GetBytes(text));

    /// <summary>Whether it looks like one of ours, and not like what another server enciphered.</summary>
    public static bool IsOurs(string content) => content.StartsWith(Prefix, StringComparison.Ordinal);

    public static string Read(string content, string path)
    {
        byte[] bytes = [];
        bool valid = IsOurs(content) && Base64Url.IsValid(content.AsSpan(Prefix.Length));
        if (valid)
            bytes = Base64Url.DecodeFromChars(content.AsSpan(Prefix.Length));
        return valid && Utf8.IsValid(bytes) && !bytes.Contains((byte)0)
            ? Encoding.UTF8.GetString(bytes)
            : throw RequestProblem.Invalid($"{{where}} was not made by this server.", path, "invalid_encrypted_content");
    }
}
