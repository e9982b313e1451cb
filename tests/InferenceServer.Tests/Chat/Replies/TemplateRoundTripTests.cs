using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Tests.Chat.Replies;

/// <summary>What a model's own template prints of a call must read back as that call: the model was trained to write just that.</summary>
public class TemplateRoundTripTests
{
    // What ends a reply: the engine never passes it on.
    internal static readonly string[] Ends =
    [
        "<|im_end|>", "</s>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|call|>", "<|eot|>", "<|end_of_msg|>", "<|end_of_text|>", "<|message_sep|>", "[e~[",
        "<｜end▁of▁sentence｜>", "<｜hy_eos:opensource｜>", "<turn|>", "<|role_end|>", "<|observation|>", "<|assistant_end|>", "<SPECIAL_12>", "</assistant>", "<|calls|>", "<|tool_response>",
    ];

    // Templates that print no calls: only what they say of the notation is known.
    private static readonly Dictionary<string, string> WithoutCalls = new()
    {
        ["HuggingFaceTB-SmolLM3-3B"] = "generic",
        ["google-gemma-2-2b-it"] = "generic",
        ["LFM2.5-Instruct"] = "lfm2",
        ["ibm-granite-granite-3.3-2B-Instruct"] = "granite",
    };

    [SkippableFact]
    public void Calls_that_a_template_prints_read_back_as_they_were()
    {
        string? folder = SharedFolder.Find("chat-templates");
        Skip.If(folder is null, SharedFolder.AbsentReason);
        StringBuilder faults = new();
        int read = 0;
        foreach (string file in Directory.GetFiles(folder!, "*.jinja"))
        {
            string name = Path.GetFileNameWithoutExtension(file);
            ChatTemplate template = ChatTemplate.Parse(File.ReadAllText(file));
            ReplyFormat format = ReplyFormatProbe.Learn(template);
            if (WithoutCalls.TryGetValue(name, out string? known))
            {
                Assert.Equal(known, format.Calls[0].Name);
                continue;
            }

            foreach ((string what, IReadOnlyList<(string Name, string Arguments)> calls) in Cases(name, format))
            {
                read++;
                string? fault = Fault(template, format, calls);
                if (fault is not null)
                    faults.AppendLine($"{name}, {what}: {fault}");
            }
        }

        Assert.True(faults.Length == 0, faults.ToString());
        Assert.True(read > 200, $"only {read} cases");
    }

    private static IEnumerable<(string, IReadOnlyList<(string, string)>)> Cases(string name, ReplyFormat format)
    {
        yield return ("one", SampleCalls.One);
        yield return ("nested", SampleCalls.Nested);
        yield return ("empty", SampleCalls.Empty);
        yield return ("unicode", SampleCalls.Unicode);
        if (format.ParallelCalls)
            yield return ("parallel", SampleCalls.Parallel);
        // These print strings between quotes without escaping what is in them.
        if (format.Calls[0].Arguments is not ArgumentSyntax.Members { Quote: "'" })
            yield return ("escapes", SampleCalls.Escapes);
    }

    /// <summary>The part of a printed turn that the model would write.</summary>
    internal static string ReplyOf(string prompt, string turn)
    {
        string reply = turn.StartsWith(prompt, StringComparison.Ordinal) ? turn[prompt.Length..] : turn[MarkerText.CommonStart(prompt, turn).Length..];
        foreach (string end in Ends)
            reply = reply.TrimEnd() is var trimmed && trimmed.EndsWith(end, StringComparison.Ordinal) ? trimmed[..^end.Length] : reply;
        return reply;
    }

    private static string? Fault(ChatTemplate template, ReplyFormat format, IReadOnlyList<(string Name, string Arguments)> calls)
    {
        TemplateValue AsTemplate(bool asText) => new TemplateList(calls.Select((call, i) => ProbeCall.Call(call.Name, $"callid00{i}",
            asText ? call.Arguments : TemplateValue.FromJson(JsonDocument.Parse(call.Arguments).RootElement)))).Freeze();
        ProbeRenderer render = new(template);
        string? turn = render.CallTurn(AsTemplate(asText: false)) ?? render.CallTurn(AsTemplate(asText: true));
        if (turn is null)
            return "was not printed";
        string prompt = render.Prompt;
        bool continues = turn.StartsWith(prompt, StringComparison.Ordinal);
        string reply = ReplyOf(prompt, turn);
        foreach (bool constrained in (ReadOnlySpan<bool>)[false, true])
        {
            ReplyParts parts = ReplyParts.Of(format, reply, SampleCalls.Tools, continues ? format.OpeningOf(prompt) : ReplyOpening.None, constrained);
            if (!parts.Has(calls) || parts.Content.Trim().Length > 0)
                return $"{parts}\n    from {reply}";
        }

        return null;
    }
}
