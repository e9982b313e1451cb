using System.Diagnostics;

using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

[Collection("llama")]
public sealed class DecodeTests(LlamaFixture llama, ITestOutputHelper output)
{
    public static readonly TinyArchitecture[] DecoderArchitectures =
    [
        TinyArchitecture.Llama, TinyArchitecture.Qwen2, TinyArchitecture.Gemma3, TinyArchitecture.Lfm2, TinyArchitecture.Mamba2, TinyArchitecture.GraniteHybrid,
    ];

    public static TheoryData<TinyArchitecture> Decoders => new(DecoderArchitectures);

    [Theory]
    [MemberData(nameof(Decoders))]
    public void Every_tiny_model_loads_decodes_and_says_the_same_thing_twice(TinyArchitecture architecture)
    {
        var watch = Stopwatch.StartNew();
        using LlamaModel model = LlamaModel.Load(llama.Library, llama.PathOf(architecture), new LlamaModelOptions(), null, CancellationToken.None);
        output.WriteLine($"{model.Description} {model.MemoryKind} written and loaded in {watch.ElapsedMilliseconds} ms");
        int[] prompt = model.Vocab.Tokenize("<|im_start|>user\nWhat is the sea?<|im_end|>\n<|im_start|>assistant\n", addSpecial: false, parseSpecial: true);

        string[] texts = new string[2];
        for (int run = 0; run < 2; run++)
        {
            using var context = new LlamaContext(model, LlamaFixture.Options(), llama.Log);
            float[] logits = context.Feed(0, prompt, 0);
            int[] reply = context.Greedy(0, logits, prompt.Length, 80);
            texts[run] = model.Vocab.Detokenize(reply, special: true);
        }

        output.WriteLine(texts[0]);
        Assert.Equal(texts[0], texts[1]);
        Assert.True(texts[0].Distinct().Count() >= 12, $"the text hardly varies: {texts[0]}");
        Assert.Equal(ByteVocabulary.ChatTemplate, model.ChatTemplate);
        Assert.Equal(TinyModel.ContextLength, model.TrainContextLength);
    }

    [Fact]
    public void Outputs_that_were_given_back_cannot_be_read_and_the_next_step_has_its_own()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Qwen2);
        float[] first = context.Feed(0, [5, 6, 7], 0);
        context.ReleaseOutputs();
        Assert.Throws<ArgumentException>(() => context.Logits(2).Length);
        Assert.Equal(first, context.Feed(1, [5, 6, 7], 0));
    }

    [Theory]
    [MemberData(nameof(Decoders))]
    public void Rows_of_many_sequences_in_one_batch_give_the_logits_that_each_gives_alone(TinyArchitecture architecture)
    {
        const int Sequences = 4;
        using LlamaContext alone = llama.Context(architecture);
        using LlamaContext together = llama.Context(architecture);
        int[][] prompts = [.. Enumerable.Range(0, Sequences).Select(i => LlamaFixture.Prompt(20 + 7 * i, seed: i))];
        using var batch = new LlamaBatch(512);
        int[] lastRows = new int[Sequences];
        for (int i = 0; i < Sequences; i++)
        {
            for (int position = 0; position < prompts[i].Length; position++)
                lastRows[i] = batch.Add(prompts[i][position], position, i, position == prompts[i].Length - 1);
        }

        Assert.Equal(DecodeStatus.Ok, together.Decode(batch));
        for (int i = 0; i < Sequences; i++)
            Decoding.AssertClose(alone.Feed(i, prompts[i], 0), together.Logits(lastRows[i]), 0.05f);
    }

    [Fact]
    public void Logits_of_a_row_that_wanted_none_are_refused()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        using var batch = new LlamaBatch(4);
        batch.Add('a', 0, 0, false);
        batch.Add('b', 1, 0, true);
        Assert.Throws<ArgumentException>(() => context.Logits(0).Length);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        Assert.Throws<ArgumentException>(() => context.Logits(0).Length);
        Assert.Equal(ByteVocabulary.Count, context.Logits(1).Length);
        Assert.Throws<ArgumentException>(() => context.Logits(2).Length);
        Assert.Throws<ArgumentException>(() => context.Logits(-1).Length);
    }

    [Fact]
    public void Rows_that_llama_cpp_would_assert_on_are_refused_before()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        using var batch = new LlamaBatch(600);
        Assert.Throws<ArgumentException>(() => context.Decode(batch));
        AssertRefused(ByteVocabulary.Count, 0, 0);
        AssertRefused(-1, 0, 0);
        AssertRefused('a', -1, 0);
        AssertRefused('a', 0, 4);
        AssertRefused('a', 0, -1);
        batch.Clear();
        for (int i = 0; i < 600; i++)
            batch.Add('a', i, 0, false);
        Assert.Throws<ArgumentException>(() => context.Decode(batch));
        Assert.Throws<InvalidOperationException>(() => batch.Add('a', 0, 0, false));

        void AssertRefused(int token, int position, int sequence)
        {
            batch.Clear();
            batch.Add(token, position, sequence, true);
            Assert.Throws<ArgumentException>(() => context.Decode(batch));
        }
    }

    [Fact]
    public void A_position_that_does_not_follow_is_an_invalid_batch_and_changes_nothing()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        context.Feed(0, LlamaFixture.Prompt(10), 0);
        using var batch = new LlamaBatch(1);
        batch.Add('a', 12, 0, true);
        Assert.Equal(DecodeStatus.InvalidBatch, context.Decode(batch));
        Assert.Equal(9, context.MaxPosition(0));
    }

    [Fact]
    public void More_sequences_than_rows_in_a_batch_is_no_reason_to_end_the_process()
    {
        var options = new LlamaContextOptions { CellCount = 256, BatchSize = 8, MaxSequences = 64, MaxOutputs = 2, Threads = 1, BatchThreads = 1 };
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, options);
        Assert.Equal(64, context.BatchSize);
        Assert.Equal(64, context.MaxOutputs);
        context.Feed(63, LlamaFixture.Prompt(5), 0);
    }

    [Fact]
    public void Steps_allocate_nothing_on_the_decode_thread()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        using var batch = new LlamaBatch(4);
        int position = 0;
        float sum = 0;
        void Step()
        {
            batch.Clear();
            int row = batch.Add('a' + position % 26, position, 0, true);
            context.Decode(batch);
            sum += context.Logits(row)[0];
            position++;
        }

        for (int i = 0; i < 50; i++)
            Step();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            Step();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.True(float.IsFinite(sum));
    }

    [Fact]
    public void An_abort_ends_the_call_and_leaves_the_other_sequences_usable()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        context.Feed(0, LlamaFixture.Prompt(50), 0);
        using var batch = new LlamaBatch(256);
        for (int i = 0; i < 256; i++)
            batch.Add('a', i, 1, false);
        context.AbortRequested = true;
        Assert.Equal(DecodeStatus.Aborted, context.Decode(batch));
        context.AbortRequested = false;
        Assert.Equal(-1, context.MaxPosition(1));
        Assert.True(context.CanContinue(0, 50));
        context.Feed(0, LlamaFixture.Prompt(5, seed: 1), 50);
        context.Feed(1, LlamaFixture.Prompt(5, seed: 1), 0);
    }

    [Theory]
    [InlineData(KvType.F32)]
    [InlineData(KvType.F16)]
    [InlineData(KvType.BF16)]
    [InlineData(KvType.Q8_0)]
    [InlineData(KvType.Q5_1)]
    [InlineData(KvType.Q5_0)]
    [InlineData(KvType.Q4_1)]
    [InlineData(KvType.Q4_0)]
    [InlineData(KvType.IQ4_NL)]
    public void Every_cache_type_decodes_and_the_finer_ones_agree(KvType type)
    {
        int[] prompt = LlamaFixture.Prompt(100);
        using LlamaContext exact = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options() with { TypeK = KvType.F32, TypeV = KvType.F32 });
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options() with { TypeK = type, TypeV = type });
        float[] logits = context.Feed(0, prompt, 0);
        Assert.All(logits, l => Assert.True(float.IsFinite(l)));
        if (type is KvType.F32 or KvType.F16)
            Decoding.AssertClose(exact.Feed(0, prompt, 0), logits, 0.05f);
    }

    [Fact]
    public void More_threads_and_a_pool_of_their_own_give_the_same_logits()
    {
        int[] prompt = LlamaFixture.Prompt(60);
        using LlamaContext one = llama.Context(TinyArchitecture.Llama);
        using LlamaContext two = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options() with { Threads = 1, BatchThreads = 2 });
        Decoding.AssertClose(one.Feed(0, prompt, 0), two.Feed(0, prompt, 0), 0.05f);
    }

    [Fact]
    public void A_model_disposed_before_its_context_stays_until_the_context_goes()
    {
        LlamaModel model = LlamaModel.Load(llama.Library, llama.PathOf(TinyArchitecture.Qwen2), new LlamaModelOptions(), null, CancellationToken.None);
        using (var context = new LlamaContext(model, LlamaFixture.Options(), llama.Log))
        {
            model.Dispose();
            context.Feed(0, LlamaFixture.Prompt(20), 0);
        }

        Assert.Throws<ObjectDisposedException>(() => model.Vocab.Tokenize("a", false, false));
    }

    [Fact]
    public void A_disposed_context_refuses_calls_instead_of_touching_freed_memory()
    {
        LlamaContext context = llama.Context(TinyArchitecture.Llama);
        using var batch = new LlamaBatch(1);
        batch.Add('a', 0, 0, true);
        context.Dispose();
        Assert.Throws<ObjectDisposedException>(() => context.Decode(batch));
        Assert.Throws<ObjectDisposedException>(() => context.MaxPosition(0));
        Assert.ThrowsAny<Exception>(() => context.Logits(0).Length);
    }

    [Fact]
    public void An_encoder_gives_each_sequence_an_embedding_of_its_own()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Bert, LlamaFixture.Options() with { Embeddings = true });
        Assert.Equal(PoolingType.Mean, context.Pooling);
        using var batch = new LlamaBatch(64);
        int[] first = LlamaFixture.Prompt(20, seed: 1), second = LlamaFixture.Prompt(30, seed: 2);
        float[] together1, together2;
        Fill(batch, (0, first), (1, second));
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        together1 = context.SequenceEmbedding(0).ToArray();
        together2 = context.SequenceEmbedding(1).ToArray();
        Fill(batch, (0, first));
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        Decoding.AssertClose(context.SequenceEmbedding(0), together1, 1e-3f);
        Assert.True(together1.Zip(together2, (a, b) => Math.Abs(a - b)).Max() > 0.05f);
        Assert.Throws<ArgumentException>(() => context.SequenceEmbedding(1).Length);

        static void Fill(LlamaBatch batch, params (int Sequence, int[] Tokens)[] texts)
        {
            batch.Clear();
            foreach ((int sequence, int[] tokens) in texts)
            {
                for (int i = 0; i < tokens.Length; i++)
                    batch.Add(tokens[i], i, sequence, true);
            }
        }
    }

    [Fact]
    public void Estimated_cache_bytes_are_those_llama_cpp_takes()
    {
        LlamaModel model = llama.Model(TinyArchitecture.Llama);
        // Two layers of one key and one value head of 32 halves each.
        Assert.Equal(2 * 2 * 32 * 2, model.EstimateKvBytesPerToken(KvType.F16, KvType.F16));
        Assert.Equal(2 * 2 * 34, model.EstimateKvBytesPerToken(KvType.Q8_0, KvType.Q8_0));
        Assert.Equal(0, llama.Model(TinyArchitecture.Mamba2).EstimateKvBytesPerToken(KvType.F16, KvType.F16));
        Assert.Equal(2 * 32 * 2, llama.Model(TinyArchitecture.Lfm2).EstimateKvBytesPerToken(KvType.F16, KvType.F16));
    }
}
