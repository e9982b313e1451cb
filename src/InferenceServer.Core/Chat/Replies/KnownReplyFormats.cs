// Formats by their markers: for templates that name a notation without printing calls in it, and for what no render can show.

namespace InferenceServer.Chat.Replies;

internal static class KnownReplyFormats
{
    /// <summary>JSON between tags, with instructions in the system message: for templates that know nothing of tools.</summary>
    public static ToolCallFormat Generic { get; } = Object("generic", "<tool_call>\n", "\n</tool_call>") with { Separator = "\n" };

    /// <summary>gpt-oss: every message has a channel and may have a recipient, in either order.</summary>
    public static ReplyFormat Harmony { get; } = new()
    {
        Reasoning = new("<|channel|>analysis<|message|>", "<|end|>"),
        AfterReasoning = "<|start|>assistant",
        ContentOpen = "<|channel|>final<|message|>",
        Skipped = ["<|channel|>final<|message|>", "<|channel|>commentary<|message|>", "<|start|>assistant", "<|end|>", "<|return|>", "<|call|>"],
        Calls =
        [
            HarmonyCall("<|channel|>commentary to=functions.$name$skip<|message|>$arguments<|call|>"),
            HarmonyCall(" to=functions.$name$skip<|message|>$arguments<|call|>", "<|channel|>commentary json"),
            HarmonyCall("<|channel|>analysis to=functions.$name$skip<|message|>$arguments<|call|>"),
        ],
        ParallelCalls = false,
    };

    // The first whose markers are all there is taken: what has more markers comes before what has fewer of them.
    private static readonly (string[] Markers, ToolCallFormat Format)[] ByMarker =
    [
        (["<seed:tool_call>", "<function="], Tagged("seed", "<seed:tool_call>\n<function=$name>\n$arguments</function>\n</seed:tool_call>", "<parameter=", ">", "</parameter>\n")),
        (["<tool_call>", "<function="], Tagged("qwen3-coder", "<tool_call>\n<function=$name>\n$arguments</function>\n</tool_call>", "<parameter=", ">\n", "\n</parameter>\n")),
        (["<tool_call>", "<arg_key>"], Tagged("glm", "<tool_call>$name\n$arguments</tool_call>", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n")),
        (["<minimax:tool_call>"], Tagged("minimax-m2", "<invoke name=\"$name\">\n$arguments</invoke>\n", "<parameter name=\"", "\">", "</parameter>\n") with
            { SectionOpen = "<minimax:tool_call>\n", SectionClose = "</minimax:tool_call>" }),
        (["[TOOL_CALLS]", "[ARGS]"], ToolCallFormat.Parse("mistral", "[TOOL_CALLS]$name[ARGS]$arguments")),
        (["[TOOL_CALLS]"], ToolCallFormat.Parse("mistral-list", "{\"name\": \"$name\", \"arguments\": $arguments, \"id\": \"$id\"}") with
            { SectionOpen = "[TOOL_CALLS][", Separator = ", ", SectionClose = "]" }),
        (["<|tool_calls_section_begin|>"], ToolCallFormat.Parse("kimi-k2", "<|tool_call_begin|>functions.$name:$index<|tool_call_argument_begin|>$arguments<|tool_call_end|>") with
            { SectionOpen = "<|tool_calls_section_begin|>", SectionClose = "<|tool_calls_section_end|>" }),
        (["<｜tool▁calls▁begin｜>", "```json"], ToolCallFormat.Parse("deepseek-r1", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>$name\n```json\n$arguments\n```<｜tool▁call▁end｜>") with
            { SectionOpen = "<｜tool▁calls▁begin｜>", Separator = "\n", SectionClose = "<｜tool▁calls▁end｜>" }),
        (["<｜tool▁calls▁begin｜>"], ToolCallFormat.Parse("deepseek-v3.1", "<｜tool▁call▁begin｜>$name<｜tool▁sep｜>$arguments<｜tool▁call▁end｜>") with
            { SectionOpen = "<｜tool▁calls▁begin｜>", SectionClose = "<｜tool▁calls▁end｜>" }),
        (["<|tool_call_start|>"], Python("lfm2", "<|tool_call_start|>[", "]<|tool_call_end|>", ", ")),
        (["List of tools: ["], Python("lfm2", "<|tool_call_start|>[", "]<|tool_call_end|>", ", ")),
        (["<|tool_list_start|>"], Python("lfm2", "<|tool_call_start|>[", "]<|tool_call_end|>", ", ")),
        (["<|START_ACTION|>"], ToolCallFormat.Parse("command-r7b", "{\"tool_call_id\": \"$index\", \"tool_name\": \"$name\", \"parameters\": $arguments}") with
            { SectionOpen = "<|START_ACTION|>[\n    ", Separator = ",\n    ", SectionClose = "\n]<|END_ACTION|>" }),
        (["Action:", "tool_name"], ToolCallFormat.Parse("command-r", "{\n        \"tool_name\": \"$name\",\n        \"parameters\": $arguments\n    }") with
            { SectionOpen = "Action: ```json\n[\n    ", Separator = ",\n    ", SectionClose = "\n]\n```" }),
        (["<start_function_call>"], new("functiongemma", CallPiece.Parse("<start_function_call>call:$name{$arguments}<end_function_call>"),
            new ArgumentSyntax.Members(":", "<escape>", ",", PythonScalars: false))),
        (["<|tool_call>call:"], new("gemma-4", CallPiece.Parse("<|tool_call>call:$name{$arguments}<tool_call|>"),
            new ArgumentSyntax.Members(":", "<|\"|>", ",", PythonScalars: false))),
        (["<|action_start|><|plugin|>"], ToolCallFormat.Parse("internlm2", "<|action_start|><|plugin|>\n{\"name\": \"$name\", \"parameters\": $arguments}<|action_end|>")),
        (["<TOOLCALL>"], List("nemotron", "<TOOLCALL>[", "]</TOOLCALL>")),
        (["<longcat_tool_call>", "<longcat_arg_key>"], Tagged("longcat-tagged", "<longcat_tool_call>$name\n$arguments</longcat_tool_call>", "<longcat_arg_key>", "</longcat_arg_key>\n<longcat_arg_value>", "</longcat_arg_value>\n")),
        (["<longcat_tool_call>"], Object("longcat", "<longcat_tool_call>\n", "\n</longcat_tool_call>") with { Separator = "\n" }),
        (["<tool_calls>"], List("tool-calls", "<tool_calls>[", "]</tool_calls>")),
        (["<|tool_call|>", "<|/tool_call|>"], Object("phi-4", "<|tool_call|>", "<|/tool_call|>")),
        (["<|tool_call|>"], List("granite", "<|tool_call|>[", "]")),
        (["functools["], List("functools", "functools[", "]")),
        (["<function_calls>"], Python("olmo", "<function_calls>\n", "\n</function_calls>", "\n")),
        ([">>>", "all\n"], ToolCallFormat.Parse("functionary-v3.2", ">>>$name\n$arguments")),
        (["<tool_call>"], Object("hermes", "<tool_call>\n", "\n</tool_call>") with { Separator = "\n" }),
        (["<function="], ToolCallFormat.Parse("functionary-v3.1", "<function=$name>$arguments</function>")),
        (["<|python_tag|>"], ToolCallFormat.Parse("llama-3", "{\"name\": \"$name\", \"parameters\": $arguments}")),
    ];

    /// <summary>The format whose markers a template names; null when it names none.</summary>
    public static ToolCallFormat? FindCalls(string source) =>
        Array.Find(ByMarker, known => Array.TrueForAll(known.Markers, marker => source.Contains(marker, StringComparison.Ordinal))).Format;

    /// <summary>What models of this template write besides what it prints.</summary>
    public static IEnumerable<ToolCallFormat> AlsoRead(ToolCallFormat format, string source)
    {
        // Llama 3.x announces calls of its built-in tools, and now and then any call, by this token.
        if (format.Layout is { IsObject: true, Prefix: "" } && source.Contains("<|python_tag|>", StringComparison.Ordinal))
        {
            yield return ToolCallFormat.Parse("llama-3-tag", "<|python_tag|>{\"name\": \"$name\", \"parameters\": $arguments}");
            yield return new("llama-3-builtin", CallPiece.Parse("<|python_tag|>$name.call($arguments)"), new ArgumentSyntax.Members("=", "\""));
        }
    }

    public static bool IsHarmony(string prompt, string source) =>
        prompt.TrimEnd().EndsWith("<|start|>assistant", StringComparison.Ordinal)
        && source.Contains("<|channel|>", StringComparison.Ordinal) && source.Contains("<|message|>", StringComparison.Ordinal);

    private static ToolCallFormat HarmonyCall(string call, string skipped = " <|constrain|>json") => new("harmony",
        [.. CallPiece.Parse(call).Select(piece => piece.Kind == CallPieceKind.Skip ? piece with { Text = skipped } : piece)]);

    private static ToolCallFormat Object(string name, string open, string close) =>
        ToolCallFormat.Parse(name, open + "{\"name\": \"$name\", \"arguments\": $arguments}" + close);

    private static ToolCallFormat List(string name, string open, string close) =>
        Object(name, "", "") with { SectionOpen = open, Separator = ", ", SectionClose = close };

    private static ToolCallFormat Tagged(string name, string call, string open, string valueOpen, string close) =>
        ToolCallFormat.Parse(name, call, new ArgumentSyntax.Tagged(open, valueOpen, close));

    private static ToolCallFormat Python(string name, string open, string close, string separator) =>
        ToolCallFormat.Parse(name, "$name($arguments)", new ArgumentSyntax.Members("=", "\"")) with { SectionOpen = open, Separator = separator, SectionClose = close };
}
