using System.Security.Cryptography;
using System.Text;

namespace InferenceServer.Api.Anthropic;

/// <summary>
/// What stands under a thinking block, so that a client which hands it back changed is told. No secret: it guards against mistakes, and thinking that
/// somebody else signed is taken as it is.
/// </summary>
internal static class ThinkingSignature
{
    private const string Mark = "thinking-sha256:";

    public static string Of(string thinking) => Mark + Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(thinking)));

    /// <summary>False for a signature of ours under another text.</summary>
    public static bool Fits(string signature, string thinking) => !signature.StartsWith(Mark, StringComparison.Ordinal) || signature == Of(thinking);
}
