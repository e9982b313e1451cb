using System.Buffers;

namespace InferenceServer.Chat.Replies;

/// <summary>Arguments as <c>key=value</c> with separators: each passed on once it is whole.</summary>
/// <param name="close">What follows the last argument; its first character ends the list.</param>
internal sealed class MemberReader(ArgumentSyntax.Members syntax, CallOutput output, string close) : IArgumentReader
{
    private const int MaxKeyLength = 256;

    private static readonly SearchValues<char> NoKey = SearchValues.Create("()[]{}'\"");

    private readonly string? _quote = syntax.IsPython ? null : syntax.Quote;
    private bool _isFirst = true;

    public ReadStatus Read(ReplyBuffer buffer)
    {
        while (true)
        {
            buffer.ConsumeSpace();
            ReadOnlySpan<char> rest = buffer.Rest;
            ReadStatus wait = buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
            if (rest.IsEmpty)
                return wait;
            if (rest[0] == close[0])
            {
                output.Write(_isFirst ? "{}" : "}");
                return ReadStatus.Done;
            }

            int start = 0;
            if (!_isFirst)
            {
                if (rest[0] != ',')
                    return ReadStatus.Failed;
                start = 1;
            }

            int keyEnd = rest[start..].IndexOf(syntax.KeyEnd.Trim());
            if (keyEnd < 0)
                return rest.Length > MaxKeyLength || rest[start..].ContainsAny(NoKey) ? ReadStatus.Failed : wait;
            string key = rest.Slice(start, keyEnd).Trim().ToString();
            int valueStart = start + keyEnd + syntax.KeyEnd.Trim().Length;
            if (key.Length == 0 || !FindEnd(rest, valueStart, buffer.IsLast, out int valueEnd))
                return ReadStatus.Failed;
            if (valueEnd < 0)
                return wait;
            if (LiteralParser.ToJson(rest[valueStart..valueEnd], _quote) is not { } json)
                return ReadStatus.Failed;
            output.Write($"{(_isFirst ? "{" : ",")}{JsonWriting.Quote(key)}:{json}");
            _isFirst = false;
            buffer.Consume(valueEnd);
        }
    }

    /// <summary>Where the value ends, -1 when that is not there yet; false when brackets do not match.</summary>
    private bool FindEnd(ReadOnlySpan<char> text, int start, bool isLast, out int end)
    {
        int depth = 0;
        for (end = start; end < text.Length; end++)
        {
            char c = text[end];
            if (_quote is not null && text[end..].StartsWith(_quote, StringComparison.Ordinal))
            {
                int closing = text[(end + _quote.Length)..].IndexOf(_quote, StringComparison.Ordinal);
                if (closing < 0)
                    break;
                end += closing + (2 * _quote.Length) - 1;
            }
            else if (_quote is null && c is '\'' or '"')
            {
                int closing = LiteralParser.StringEnd(text, end, isLast);
                if (closing < 0)
                    break;
                end = closing;
            }
            else if (depth == 0 && (c == ',' || c == close[0]))
            {
                return true;
            }
            else if (c is '[' or '{' or '(')
            {
                depth++;
            }
            else if (c is ']' or '}' or ')' && --depth < 0)
            {
                return false;
            }
        }

        end = -1;
        return true;
    }
}
