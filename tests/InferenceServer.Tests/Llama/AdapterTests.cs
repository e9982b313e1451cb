using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>An adapter changes what is computed while it is set, and nothing afterwards; a file that does not fit is refused by name before llama.cpp asserts.</summary>
[Collection("llama")]
public sealed class AdapterTests(LlamaFixture llama) : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-adapter-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void An_adapter_counts_while_it_is_set_and_as_much_as_its_scale_says()
    {
        LlamaModel model = llama.Model(TinyArchitecture.Llama);
        using LlamaAdapter first = Load(model, seed: 1), second = Load(model, seed: 2);
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        float[] plain = Logits(context), none = Logits(context, (first, 0));
        float[] one = Logits(context, (first, 1)), half = Logits(context, (first, 0.5f)), two = Logits(context, (first, 1), (second, 1));
        Assert.Equal(plain, none);
        Assert.Equal(plain, Logits(context));
        Assert.Equal(one, Logits(context, (first, 1)));
        Assert.True(Distance(plain, one) > 0.1, "the adapter changes what is computed");
        Assert.True(Distance(plain, half) < Distance(plain, one), "half of it changes less");
        Assert.True(Distance(one, two) > 0.1, "two change otherwise than one");
    }

    [Fact]
    public void Its_change_is_that_of_weights_that_hold_it()
    {
        // B (A x) times alpha / rank: of an A that picks an input and a B that gives it to an output, the weight of the two.
        LlamaModel model = llama.Model(TinyArchitecture.Llama);
        string path = Path.Combine(_folder, "one.gguf");
        using (GgufWriter writer = GgufWriter.Create(path, "llama"))
        {
            writer.Add("general.type", "adapter");
            writer.Add("adapter.type", "lora");
            writer.Add("adapter.lora.alpha", 3f);
            writer.Declare("output.weight.lora_a", GgufTensorType.F32, 64, 2);
            writer.Declare("output.weight.lora_b", GgufTensorType.F32, 2, model.Vocab.Count);
            float[] a = new float[128], b = new float[2 * model.Vocab.Count];
            (a[5], b[2 * 'q']) = (1, 4);
            writer.Append(a);
            writer.Append(b);
            writer.Finish();
        }

        LlamaAdapterFile file = LlamaAdapterFile.Check(path, model);
        Assert.Equal((2, 3f), (file.Rank, file.Alpha));
        using LlamaAdapter adapter = LlamaAdapter.Load(model, file);
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        float[] plain = Logits(context), changed = Logits(context, (adapter, 1)), twice = Logits(context, (adapter, 2));
        for (int token = 0; token < plain.Length; token++)
            if (token != 'q')
                Assert.Equal(plain[token], changed[token]);
        Assert.NotEqual(plain['q'], changed['q']);
        Assert.Equal(2 * (changed['q'] - plain['q']), twice['q'] - plain['q'], 4);
    }

    [Fact]
    public void Another_models_adapter_and_a_disposed_one_are_refused()
    {
        using LlamaModel other = LlamaModel.Load(llama.Library, llama.PathOf(TinyArchitecture.Llama), new LlamaModelOptions(), null, CancellationToken.None);
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        LlamaAdapter adapter = Load(other, seed: 1);
        Assert.Throws<ArgumentException>(() => context.SetAdapters([(adapter, 1)]));
        adapter.Dispose();
        Assert.Throws<ArgumentException>(() => context.SetAdapters([(adapter, 1)]));
    }

    [Fact]
    public void Equal_files_are_one_adapter_and_others_are_not()
    {
        LlamaModel model = llama.Model(TinyArchitecture.Llama);
        string first = Check(model, seed: 1).Identity;
        Assert.Equal(first, Check(model, seed: 1).Identity);
        Assert.NotEqual(first, Check(model, seed: 2).Identity);
    }

    [Fact]
    public void A_missing_file_is_named() => AssertFails(Path.Combine(_folder, "absent.gguf"), "does not exist");

    [Fact]
    public void A_folder_says_what_makes_a_file_of_it() => AssertFails(_folder, "is a folder", "convert_lora_to_gguf.py");

    [Fact]
    public void Another_format_is_refused()
    {
        File.WriteAllText(New(), new string('x', 1000));
        AssertFails(New(), "does not start with GGUF");
    }

    [Fact]
    public void A_model_is_no_adapter() => AssertFails(llama.PathOf(TinyArchitecture.Llama), "it holds a model, not an adapter");

    [Fact]
    public void A_truncated_file_is_refused()
    {
        byte[] whole = File.ReadAllBytes(TinyAdapter.Write(New()));
        File.WriteAllBytes(New(), whole[..(whole.Length / 2)]);
        AssertFails(New(), "truncated");
    }

    [Fact]
    public void Another_architecture_is_named() => AssertFails(Write(architecture: "qwen2"), "architecture qwen2", "is llama");

    [Fact]
    public void A_control_vector_is_refused() => AssertFails(Write(adapterType: "control_vector"), "control_vector");

    [Fact]
    public void An_activated_adapter_is_refused() => AssertFails(Write(writer => writer.Add("adapter.alora.invocation_tokens", (ReadOnlySpan<int>)[1, 2])), "activated LoRA");

    [Fact]
    public void An_alpha_that_llama_cpp_would_assert_on_is_refused()
    {
        AssertFails(Write(writer => writer.Add("adapter.lora.alpha", 16u)), "adapter.lora.alpha");
        AssertFails(Write(writer => writer.Add("adapter.lora.alpha", float.NaN)), "adapter.lora.alpha");
    }

    [Fact]
    public void Parts_of_different_ranks_are_refused() => AssertFails(Write(rankB: 8), "different ranks", "blk.0.attn_q.weight");

    [Fact]
    public void Tensors_of_another_shape_are_refused()
    {
        AssertFails(Write(weights: [("blk.0.attn_q.weight", 128, 64)]), "(128, 4) by (4, 64)", "(64, 64)", "another model");
        AssertFails(Write(weights: [("blk.0.attn_norm.weight.x", 64, 1)]), "does not have");
        AssertFails(Write(weights: [("blk.7.attn_q.weight", 64, 64)]), "blk.7.attn_q.weight", "another model");
        AssertFails(Write(weights: []), "changes no tensor");
    }

    [Fact]
    public void A_part_alone_and_a_tensor_that_is_none_are_refused()
    {
        AssertFails(WriteTensor("blk.0.attn_q.weight.lora_a", 64, 4), "no lora_b beside it");
        AssertFails(WriteTensor("blk.0.attn_q.weight", 64, 64), "neither a lora_a nor a lora_b");
    }

    [Fact]
    public void A_file_that_changed_after_its_check_is_an_error_and_no_crash()
    {
        LlamaModel model = llama.Model(TinyArchitecture.Llama);
        LlamaAdapterFile file = Check(model, seed: 1);
        File.WriteAllText(file.Path, "GGUF");
        Assert.Contains(file.Path, Assert.Throws<LlamaException>(() => LlamaAdapter.Load(model, file)).Message, StringComparison.Ordinal);
    }

    private static double Distance(float[] a, float[] b) => Math.Sqrt(a.Zip(b, (x, y) => (double)(x - y) * (x - y)).Average());

    private static float[] Logits(LlamaContext context, params (LlamaAdapter Adapter, float Scale)[] adapters)
    {
        context.SetAdapters(adapters);
        context.ClearMemory();
        using LlamaBatch batch = new(context.BatchSize);
        int[] prompt = LlamaFixture.Prompt(20);
        for (int i = 0; i < prompt.Length; i++)
            batch.Add(prompt[i], i, 0, i == prompt.Length - 1);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        return context.Logits(prompt.Length - 1).ToArray();
    }

    private string New() => Path.Combine(_folder, "adapter.gguf");

    private LlamaAdapterFile Check(LlamaModel model, int seed) => LlamaAdapterFile.Check(TinyAdapter.Write(Path.Combine(_folder, $"{Guid.NewGuid():N}.gguf"), seed), model);

    private LlamaAdapter Load(LlamaModel model, int seed) => LlamaAdapter.Load(model, Check(model, seed));

    private string Write(Action<GgufWriter>? metadata = null, int? rankB = null, string architecture = "llama", string adapterType = "lora", (string, long, long)[]? weights = null) =>
        TinyAdapter.Write(New(), weights ?? TinyAdapter.Weights, rankB: rankB, architecture: architecture, adapterType: adapterType, metadata: metadata);

    private string WriteTensor(string name, long columns, long rows)
    {
        using GgufWriter writer = GgufWriter.Create(New(), "llama");
        writer.Add("general.type", "adapter");
        writer.Add("adapter.type", "lora");
        writer.Declare(name, GgufTensorType.F32, columns, rows);
        writer.Append(new float[columns * rows]);
        writer.Finish();
        return New();
    }

    private void AssertFails(string path, params string[] reasons)
    {
        string message = Assert.Throws<LlamaException>(() => LlamaAdapterFile.Check(path, llama.Model(TinyArchitecture.Llama))).Message;
        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.All(reasons, reason => Assert.Contains(reason, message, StringComparison.Ordinal));
    }
}
