using System.Collections.Frozen;
using InferenceServer.Chat.Replies;

namespace InferenceServer.Models;

/// <summary>How a model's replies are taken apart: its format, in terms of its vocabulary. Immutable.</summary>
public sealed class ServedReplies
{
    /// <summary>Replies that are content as they stand.</summary>
    public static ServedReplies Plain { get; } = new(ReplyFormat.Plain, new Dictionary<int, string>());

    /// <param name="controlTokens">The vocabulary's, by id.</param>
    /// <param name="endTokens">Names of those that end a reply.</param>
    public ServedReplies(ReplyFormat format, IReadOnlyDictionary<int, string> controlTokens, IReadOnlyList<string>? endTokens = null)
    {
        EndTokenNames = endTokens ?? [];
        Format = format;
        string[] markers = [.. format.Markers()];
        ControlTokensInText = controlTokens.Where(token => Array.Exists(markers, marker => marker.Contains(token.Value, StringComparison.Ordinal)))
            .Select(token => token.Key).ToFrozenSet();
        ControlTokenNames = [.. ControlTokensInText.Select(token => controlTokens[token])];
    }

    public ReplyFormat Format { get; }

    /// <summary>Control tokens that are part of the format's markers: without them in the text no reply could be taken apart.</summary>
    public IReadOnlySet<int> ControlTokensInText { get; }

    /// <summary>Their names.</summary>
    public IReadOnlyList<string> ControlTokenNames { get; }

    public IReadOnlyList<string> EndTokenNames { get; }
}
