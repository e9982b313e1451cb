using System.Text;

using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>Whatever file is given, loading ends with one line that names it and what to do, and the process lives on.</summary>
[Collection("llama")]
public sealed class LoadErrorTests : IDisposable
{
    private readonly LlamaFixture _llama;
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-load-").FullName;

    public LoadErrorTests(LlamaFixture llama) => _llama = llama;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_missing_file_is_named() => AssertFails(Path.Combine(_folder, "absent.gguf"), "does not exist");

    [Fact]
    public void A_folder_is_not_taken_for_a_model() => AssertFails(_folder, "is a folder");

    [Fact]
    public void An_empty_file_is_refused() => AssertFails(Write([]), "too short");

    [Fact]
    public void A_file_of_another_format_is_refused() => AssertFails(Write(Encoding.ASCII.GetBytes(new string('x', 1000))), "does not start with GGUF");

    [Fact]
    public void A_truncated_file_is_refused()
    {
        byte[] model = File.ReadAllBytes(_llama.PathOf(TinyArchitecture.Llama));
        AssertFails(Write(model[..(model.Length / 2)]), "truncated");
        AssertFails(Write(model[..3000]), "");
    }

    [Fact]
    public void An_unknown_architecture_is_named() => AssertFails(WriteModel("nonsense", _ => { }), "nonsense");

    [Fact]
    public void A_model_without_its_tensors_says_which_is_missing() => AssertFails(WriteModel("llama", _ => { }), "attn_norm");

    [Theory]
    [InlineData("llama.expert_used_count", 3u)]
    [InlineData("llama.nextn_predict_layers", 99u)]
    [InlineData("llama.expert_count", 100_000u)]
    public void Hyperparameters_that_llama_cpp_would_assert_on_are_refused_before(string key, uint value) =>
        AssertFails(WriteModel("llama", writer => writer.Add(key, value)), key);

    [Fact]
    public void A_later_part_of_a_split_model_names_the_first()
    {
        string part = Path.Combine(_folder, "big-00002-of-00003.gguf");
        File.Move(WriteModel("llama", writer =>
        {
            writer.Add("split.no", 1u);
            writer.Add("split.count", 3u);
        }), part);
        AssertFails(part, $"is part 2 of 3 of a split model: name part 1, {Path.Combine(_folder, "big-00001-of-00003.gguf")}");
    }

    [Fact]
    public void An_unknown_rope_scaling_is_refused() => AssertFails(WriteModel("llama", writer => writer.Add("llama.rope.scaling.type", "bogus")), "rope.scaling.type");

    [Fact]
    public void Too_many_layers_are_refused() => AssertFails(WriteModel("llama", _ => { }, layers: 600), "block_count");

    [Fact]
    public void A_vocabulary_whose_tokens_repeat_is_refused_or_loads_but_does_not_end_the_process()
    {
        string path = Path.Combine(_folder, "twice.gguf");
        using (var writer = GgufWriter.Create(path, "llama"))
        {
            AddShape(writer, 1);
            writer.Add("tokenizer.ggml.model", "gpt2");
            writer.Add("tokenizer.ggml.tokens", ["a", "a", "b"]);
            writer.Add("tokenizer.ggml.merges", Array.Empty<string>());
            writer.Declare("token_embd.weight", GgufTensorType.F32, 64, 3);
            writer.Append(new float[64 * 3]);
            writer.Finish();
        }

        AssertFails(path, "");
    }

    [Fact]
    public void A_cancelled_load_ends_with_cancellation()
    {
        using var cancel = new CancellationTokenSource();
        cancel.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => Load(_llama.PathOf(TinyArchitecture.Qwen2), cancel.Token));
    }

    [Fact]
    public void Bit_flips_of_a_valid_model_end_in_an_exception_or_a_usable_model()
    {
        byte[] model = File.ReadAllBytes(_llama.PathOf(TinyArchitecture.Llama));
        int headerLength = (int)GgufReader.Read(new MemoryStream(model)).DataOffset;
        const int Seed = 4711;
        var random = new Random(Seed);
        for (int i = 0; i < 300; i++)
        {
            byte[] copy = [.. model];
            // Mostly where numbers lie: before and after the token list, which is most of the header.
            int at = i % 3 == 0 ? random.Next(headerLength) : random.Next(Math.Min(700, headerLength));
            copy[at] ^= (byte)(1 << random.Next(8));
            string path = Write(copy);
            try
            {
                Load(path, CancellationToken.None).Dispose();
            }
            catch (LlamaException refused)
            {
                Assert.DoesNotContain('\n', refused.Message);
            }

            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(0, 4, "--ctx-size")]
    [InlineData(1024, 0, "sequences")]
    [InlineData(1024, 257, "sequences")]
    [InlineData(1 << 28, 4, "--ctx-size")]
    public void A_context_that_cannot_be_is_refused(int cells, int sequences, string named)
    {
        var options = new LlamaContextOptions { CellCount = cells, MaxSequences = sequences, Threads = 1, BatchThreads = 1 };
        LlamaException refused = Assert.Throws<LlamaException>(() => new LlamaContext(_llama.Model(TinyArchitecture.Llama), options, NullLogger.Instance).Dispose());
        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cache_type_that_does_not_divide_the_heads_is_refused_with_llama_cpps_reason()
    {
        var options = LlamaFixture.Options() with { TypeV = KvType.Q8_0, FlashAttention = FlashAttention.Off };
        LlamaException refused = Assert.Throws<LlamaException>(() => _llama.Context(TinyArchitecture.Llama, options).Dispose());
        Assert.Contains("flash_attn", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Tiny_models_load_without_a_warning_and_the_native_log_arrives()
    {
        string[] paths = [.. DecodeTests.DecoderArchitectures.Select(_llama.PathOf)];
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?>(), null, ["load", .. paths]);
        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain("warning", result.Output, StringComparison.Ordinal);
        Assert.Matches(@"[1-9]\d\d+ lines logged", result.Output);
        Assert.Empty(result.Error);
    }

    [Fact]
    public void An_assertion_in_llama_cpp_that_no_check_foresaw_ends_with_one_line_and_exit_code_1()
    {
        // Asserted by the architecture's own loader: the inner size of Granite's state-space layers is twice the width.
        string path = WriteModel("granitehybrid", writer =>
        {
            writer.Add("granitehybrid.ssm.conv_kernel", 4u);
            writer.Add("granitehybrid.ssm.inner_size", 100u);
            writer.Add("granitehybrid.ssm.state_size", 32u);
            writer.Add("granitehybrid.ssm.time_step_rank", 8u);
            writer.Add("granitehybrid.ssm.group_count", 1u);
        });
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?>(), null, "load", path);
        Assert.Equal(1, result.ExitCode);
        string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("choose another --model", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(LlamaBackend.Cuda, "-p:LlamaBackend=cuda12")]
    [InlineData(LlamaBackend.Vulkan, "-p:LlamaNatives=npm+vulkan")]
    [InlineData(LlamaBackend.Cpu, "build again")]
    public void A_missing_build_names_the_remedy(LlamaBackend backend, string remedy)
    {
        Assert.Null(NativeBuild.Find(_folder, backend, source: null, out string? problem));
        Assert.Contains(remedy, problem, StringComparison.Ordinal);
        Assert.Contains(_folder, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Libraries_in_the_working_folder_are_not_loaded()
    {
        // LLamaSharp's own choice would take them before the program's.
        string planted = Path.Combine(_folder, "runtimes", "linux-x64", "native", "avx2");
        Directory.CreateDirectory(planted);
        foreach (string library in new[] { "libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so" })
            File.WriteAllText(Path.Combine(planted, library), "not a library");
        ChildProcess.Result result = ChildProcess.Run(new Dictionary<string, string?>(), _folder, "load", _llama.PathOf(TinyArchitecture.Llama));
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
    }

    private void AssertFails(string path, string named)
    {
        LlamaException refused = Assert.Throws<LlamaException>(() => Load(path, CancellationToken.None).Dispose());
        Assert.Contains(path, refused.Message, StringComparison.Ordinal);
        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private LlamaModel Load(string path, CancellationToken cancellationToken) =>
        LlamaModel.Load(_llama.Library, path, new LlamaModelOptions(), null, cancellationToken);

    private string Write(byte[] content)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():N}.gguf");
        File.WriteAllBytes(path, content);
        return path;
    }

    private string WriteModel(string architecture, Action<GgufWriter> more, uint layers = 1)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():N}.gguf");
        using var writer = GgufWriter.Create(path, architecture);
        AddShape(writer, layers, architecture);
        more(writer);
        ByteVocabulary.Write(writer);
        writer.Declare("token_embd.weight", GgufTensorType.F32, 64, ByteVocabulary.Count);
        writer.Declare("output_norm.weight", GgufTensorType.F32, 64);
        writer.Append(new float[64 * ByteVocabulary.Count]);
        writer.Append(new float[64]);
        writer.Finish();
        return path;
    }

    private static void AddShape(GgufWriter writer, uint layers, string architecture = "llama")
    {
        writer.Add($"{architecture}.context_length", 512u);
        writer.Add($"{architecture}.embedding_length", 64u);
        writer.Add($"{architecture}.block_count", layers);
        writer.Add($"{architecture}.feed_forward_length", 128u);
        writer.Add($"{architecture}.attention.head_count", 2u);
        writer.Add($"{architecture}.attention.layer_norm_rms_epsilon", 1e-6f);
    }
}
