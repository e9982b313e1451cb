using System.Text;
using InferenceServer.Engine.Text;

namespace InferenceServer.Tests.Engine.Text;

/// <summary>Guards against replies that come back empty, since the thinking before them happened to hold a stop string.</summary>
public sealed class AnswerSearchTests
{
    private static readonly AnswerFrame Think = new("<think>", "</think>", IsOpen: false, []);
    private static readonly AnswerFrame Opened = Think with { IsOpen = true };
    private static readonly AnswerFrame Harmony = new("<|channel|>analysis<|message|>", "<|end|>", IsOpen: false, ["<|start|>assistant", "<|channel|>final<|message|>"]);

    public static TheoryData<string, string, string, string> Replies => new()
    {
        { "think", "<think>a\n\nb</think>\n\nOne\n\nTwo", "\n\n", "<think>a\n\nb</think>\n\nOne" },
        { "think", "<think>stop</think>stop it", "stop", "<think>stop</think>" },
        { "think", "<think>a<b", "<", "<think>a<b" },
        { "think", "no stop here", "stop", "no " },
        { "think", "\n\nOne", "\n\n", "" },
        { "think", "<thing> stop", "stop", "<thing> " },
        { "think", "<th", "<", "" },
        { "think", "Say <think>x</think> stop", "think", "Say <" },
        { "opened", "hm, stop\n</think>\n\nGo, stop now", "stop", "hm, stop\n</think>\n\nGo, " },
        { "opened", "never closed: stop </thin", "stop", "never closed: stop </thin" },
        { "harmony", "<|channel|>analysis<|message|>final<|end|><|start|>assistant<|channel|>final<|message|>My final word", "final", "<|channel|>analysis<|message|>final<|end|><|start|>assistant<|channel|>final<|message|>My " },
        { "harmony", "<|channel|>final<|message|>a message", "message", "<|channel|>final<|message|>a " },
        { "harmony", "<|channel|>analysis<|message|>x<|end|><|channel|>analysis<|message|>stop<|end|>stop", "stop", "<|channel|>analysis<|message|>x<|end|><|channel|>analysis<|message|>stop<|end|>" },
    };

    [Theory]
    [MemberData(nameof(Replies))]
    public void Stop_strings_act_on_the_answer_alone_over_any_split(string name, string reply, string stop, string expected)
    {
        AnswerFrame frame = name switch { "think" => Think, "opened" => Opened, _ => Harmony };
        byte[] bytes = Encoding.UTF8.GetBytes(reply);
        for (int size = 1; size <= bytes.Length; size++)
        {
            TokenTextDecoder decoder = new([stop, "never"], null, frame);
            StringBuilder text = new();
            for (int at = 0; at < bytes.Length; at += size)
                text.Append(decoder.Append(bytes.AsSpan(at, Math.Min(size, bytes.Length - at))));
            text.Append(decoder.Finish());
            Assert.Equal(expected, text.ToString());
            Assert.Equal(expected == reply ? null : stop, decoder.MatchedStop);
        }
    }
}
