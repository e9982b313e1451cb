// A vocabulary without training: one token per byte, then the control tokens of ChatML.
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama.TestModels;

/// <summary>Token n is byte n for n below 256; the control tokens follow.</summary>
public static class ByteVocabulary
{
    /// <summary>End of a text.</summary>
    public const int EndOfText = 256;

    /// <summary>Start of a ChatML message.</summary>
    public const int ImStart = 257;

    /// <summary>End of a ChatML message, and of a reply.</summary>
    public const int ImEnd = 258;

    /// <summary>Number of tokens.</summary>
    public const int Count = 259;

    /// <summary>ChatML as a Jinja template.</summary>
    public const string ChatTemplate =
        "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endfor %}"
        + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

    private const int Normal = 1, Control = 3;

    /// <summary>The tokens for filling in the middle: before the prefix, the suffix, and the middle.</summary>
    public static readonly IReadOnlyList<string> MiddleNames = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];

    /// <summary>Adds the tokenizer's metadata; tokens beyond <see cref="Count"/> are numbered fillers.</summary>
    /// <param name="controlTokens">Names of more control tokens, which are the first of those.</param>
    public static void Write(GgufWriter writer, int tokenCount = Count, IReadOnlyList<string>? controlTokens = null)
    {
        ArgumentNullException.ThrowIfNull(writer);
        controlTokens ??= [];
        ArgumentOutOfRangeException.ThrowIfLessThan(tokenCount, Count + controlTokens.Count);
        var tokens = new string[tokenCount];
        int[] types = new int[tokenCount];
        Array.Fill(types, Normal);
        for (int value = 0; value < 256; value++)
            tokens[value] = VisibleByte(value).ToString();
        (tokens[EndOfText], tokens[ImStart], tokens[ImEnd]) = ("<|endoftext|>", "<|im_start|>", "<|im_end|>");
        types[EndOfText] = types[ImStart] = types[ImEnd] = Control;
        for (int token = Count; token < tokenCount; token++)
            tokens[token] = Filler(token);
        for (int i = 0; i < controlTokens.Count; i++)
            (tokens[Count + i], types[Count + i]) = (controlTokens[i], Control);

        writer.Add("tokenizer.ggml.model", "gpt2");
        writer.Add("tokenizer.ggml.pre", "gpt-2");
        writer.Add("tokenizer.ggml.tokens", tokens);
        writer.Add("tokenizer.ggml.token_type", types);
        writer.Add("tokenizer.ggml.merges", Array.Empty<string>());
        writer.Add("tokenizer.ggml.bos_token_id", (uint)EndOfText);
        writer.Add("tokenizer.ggml.eos_token_id", (uint)ImEnd);
        writer.Add("tokenizer.ggml.padding_token_id", (uint)EndOfText);
        writer.Add("tokenizer.ggml.add_bos_token", false);
        writer.Add("tokenizer.chat_template", ChatTemplate);
    }

    /// <summary>Fillers read as short words, as most of a real vocabulary does; no merge leads to them, so only the model produces them.</summary>
    private static string Filler(int token)
    {
        int number = token - Count;
        Span<char> letters = stackalloc char[5];
        letters[0] = number % 2 == 0 ? '\u0120' : (char)('a' + number / 2 % 26); // U+0120 stands for a space.
        for (int i = 1, rest = number / 2; i < letters.Length; i++, rest /= 26)
            letters[i] = (char)('a' + rest % 26);
        return letters.ToString();
    }

    /// <summary>GPT-2's byte alphabet: printable Latin-1 stands for itself, every other byte for a character from U+0100 on.</summary>
    private static char VisibleByte(int value)
    {
        if (IsVisible(value))
            return (char)value;
        int before = 0;
        for (int other = 0; other < value; other++)
            before += IsVisible(other) ? 0 : 1;
        return (char)(0x100 + before);
    }

    private static bool IsVisible(int value) => value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
}
