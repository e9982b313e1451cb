using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine.Text;

namespace InferenceServer.Tests.Chat.Replies;

/// <summary>A reply split as the server splits it, fed one byte at a time unless said otherwise, and put together again.</summary>
internal sealed record ReplyParts(string Content, string Reasoning, IReadOnlyList<(string Name, string Arguments)> Calls, IReadOnlyList<ReplyDelta> Deltas)
{
    public static ReplyParts Of(
        ReplyFormat format, string reply, IReadOnlyList<ToolSignature> tools, ReplyOpening opening = ReplyOpening.None, bool constrained = false, int piece = 1)
    {
        int ids = 0;
        ReplySplitter splitter = new(format, new ReplySplitOptions
        {
            Tools = tools,
            Opening = opening,
            CallsAreConstrained = constrained,
            NewCallId = () => $"call_{ids++}",
        });
        TokenTextDecoder decoder = new([]);
        List<ReplyDelta> deltas = [];
        foreach (byte[] bytes in Encoding.UTF8.GetBytes(reply).Chunk(piece))
            splitter.Append(decoder.Append(bytes), deltas);
        splitter.Append(decoder.Finish(), deltas);
        splitter.Finish(deltas);
        return Assemble(deltas);
    }

    public static ReplyParts Assemble(List<ReplyDelta> deltas)
    {
        StringBuilder content = new(), reasoning = new();
        List<(string Name, StringBuilder Arguments, bool Ended)> calls = [];
        foreach (ReplyDelta delta in deltas)
        {
            Assert.True(delta.Text.Length > 0 || delta.Kind == ReplyDeltaKind.CallEnd, $"an empty {delta.Kind}");
            switch (delta.Kind)
            {
                case ReplyDeltaKind.Content:
                    content.Append(delta.Text);
                    break;
                case ReplyDeltaKind.Reasoning:
                    reasoning.Append(delta.Text);
                    break;
                case ReplyDeltaKind.CallBegin:
                    Assert.Equal((calls.Count, $"call_{calls.Count}"), (delta.Call, delta.Id));
                    calls.Add((delta.Text, new StringBuilder(), false));
                    break;
                case ReplyDeltaKind.CallArguments:
                    Assert.Equal(calls.Count - 1, delta.Call);
                    calls[^1].Arguments.Append(delta.Text);
                    break;
                default:
                    Assert.False(calls[^1].Ended);
                    calls[^1] = calls[^1] with { Ended = true };
                    break;
            }
        }

        return new(content.ToString(), reasoning.ToString(), [.. calls.Select(call => (call.Name, call.Arguments.ToString()))], deltas);
    }

    /// <summary>Whether these calls were read, their arguments equal as JSON.</summary>
    public bool Has(IReadOnlyList<(string Name, string Arguments)> calls)
    {
        if (calls.Count != Calls.Count)
            return false;
        for (int i = 0; i < calls.Count; i++)
        {
            using JsonDocument wanted = JsonDocument.Parse(calls[i].Arguments);
            using JsonDocument read = JsonDocument.Parse(Calls[i].Arguments);
            if (calls[i].Name != Calls[i].Name || !JsonElement.DeepEquals(wanted.RootElement, read.RootElement))
                return false;
        }

        return true;
    }

    public override string ToString() => $"content '{Content}', reasoning '{Reasoning}', calls {string.Join("; ", Calls.Select(call => call.Name + call.Arguments))}";
}

/// <summary>Functions and calls that try what formats find hard.</summary>
internal static class SampleCalls
{
    private const string Schema = """
        {"type":"object","properties":{
          "city":{"type":"string"}, "days":{"type":"integer"}, "price":{"type":"number"}, "flag":{"type":"boolean"}, "text":{"type":"string"},
          "code":{"type":["string","integer"]}, "unit":{"enum":["c","f",7]}, "nothing":{"type":"null"}, "arr":{"type":"array","items":{"type":"string"}},
          "obj":{"type":"object","properties":{"name":{"type":"string"},"list":{"type":"array","items":{"type":"integer"}}}}}}
        """;

    public static IReadOnlyList<ToolSignature> Tools { get; } =
        [.. new[] { "get_weather", "other-fn", "now" }.Select(name => new ToolSignature(name, JsonDocument.Parse(Schema).RootElement))];

    public static IReadOnlyList<(string Name, string Arguments)> One { get; } = [("get_weather", """{"city": "Oslo", "days": 2}""")];

    public static IReadOnlyList<(string Name, string Arguments)> Nested { get; } =
        [("other-fn", """{"obj": {"name": "a b", "list": [1, 2, 3]}, "arr": ["x", "y z"], "flag": true, "price": -1.5, "unit": "c", "code": "A1"}""")];

    public static IReadOnlyList<(string Name, string Arguments)> Empty { get; } = [("now", "{}")];

    public static IReadOnlyList<(string Name, string Arguments)> Parallel { get; } = [One[0], ("get_weather", """{"city": "Rome"}"""), Nested[0]];

    /// <summary>White space at both ends, line breaks, brackets, tags and characters of all widths.</summary>
    public static IReadOnlyList<(string Name, string Arguments)> Unicode { get; } =
        [("other-fn", """{"text": " line one\nline two: æøå 日本 🙂 }{][ <b>&amp; a=b, (c) ", "city": "São Paulo"}""")];

    public static IReadOnlyList<(string Name, string Arguments)> Escapes { get; } =
        [("other-fn", """{"text": "say \"hi\", it's C:\\dir\\new\tor `x`", "city": "\"quoted\""}""")];
}
