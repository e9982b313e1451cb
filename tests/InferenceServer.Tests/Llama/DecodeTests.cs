using System.Diagnostics;

using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

[Collection("llama")]
public sealed class DecodeTests(LlamaFixture llama, ITestOutputHelper output)
{
    public static TheoryData<TinyArchitecture> Decoders =>
    [
        TinyArchitecture.Llama, TinyArchitecture.Qwen2, TinyArchitecture.Gemma3, TinyArchitecture.Lfm2, TinyArchitecture.Mamba2, TinyArchitecture.GraniteHybrid,
    ];

    [Theory]
    [MemberData(nameof(Decoders))]
    public void Every_tiny_model_loads_decodes_and_says_the_same_thing_twice(TinyArchitecture architecture)
    {
        var watch = Stopwatch.StartNew();
        LlamaModel model = llama.Model(architecture);
        output.WriteLine($"{model.Description} {model.MemoryKind} written and loaded in {watch.ElapsedMilliseconds} ms");
        int[] prompt = model.Vocab.Tokenize("<|im_start|>user\nWhat is the sea?<|im_end|>\n<|im_start|>assistant\n", addSpecial: false, parseSpecial: true);

        string[] texts = new string[2];
        for (int run = 0; run < 2; run++)
        {
            using LlamaContext context = llama.Context(architecture);
            float[] logits = context.Feed(0, prompt, 0);
            int[] reply = context.Greedy(0, logits, prompt.Length, 80);
            texts[run] = model.Vocab.Detokenize(reply, special: true);
        }

        output.WriteLine(texts[0]);
        Assert.Equal(texts[0], texts[1]);
        Assert.True(texts[0].Distinct().Count() >= 12, $"the text hardly varies: {texts[0]}");
    }
}
