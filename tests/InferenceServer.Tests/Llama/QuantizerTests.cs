using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

using Xunit;

namespace InferenceServer.Tests.Llama;

[Collection("llama")]
public sealed class QuantizerTests(LlamaFixture llama) : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-quantize-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_quantized_model_is_smaller_and_thinks_nearly_alike()
    {
        string target = Path.Combine(_folder, "q8.gguf");
        LlamaQuantizer.QuantizeToQ8(llama.Library, llama.PathOf(TinyArchitecture.Qwen2), target);
        GgufFile file = GgufReader.Read(target);
        Assert.Equal(GgufTensorType.Q8_0, file.Tensors.Single(t => t.Name == "blk.0.ffn_up.weight").Type);
        using LlamaModel model = LlamaModel.Load(llama.Library, target, new LlamaModelOptions { CheckTensors = true }, null, CancellationToken.None);
        Assert.InRange(model.SizeBytes, 1, llama.Model(TinyArchitecture.Qwen2).SizeBytes / 3);

        int[] prompt = LlamaFixture.Prompt(50);
        using LlamaContext quantized = new(model, LlamaFixture.Options(), llama.Log);
        using LlamaContext full = llama.Context(TinyArchitecture.Qwen2);
        float[] expected = full.Feed(0, prompt, 0), actual = quantized.Feed(0, prompt, 0);
        double meanDifference = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Average();
        double spread = expected.Max() - expected.Min();
        Assert.True(meanDifference < 0.1 * spread, $"logits differ by {meanDifference} on average, they spread over {spread}");
    }

    [Fact]
    public void A_file_that_is_no_model_is_refused()
    {
        string source = Path.Combine(_folder, "text.gguf");
        File.WriteAllText(source, "no model at all, but long enough to have a header");
        Assert.Throws<LlamaException>(() => LlamaQuantizer.QuantizeToQ8(llama.Library, source, Path.Combine(_folder, "out.gguf")));
    }
}
