using System.Text;

using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Xunit;

namespace InferenceServer.Tests.Llama;

[Collection("llama")]
public sealed class VocabTests(LlamaFixture llama)
{
    private LlamaVocab Vocab => llama.Model(TinyArchitecture.Llama).Vocab;

    [Theory]
    [InlineData("")]
    [InlineData("Hello, world")]
    [InlineData("  two spaces\tand a tab\r\n\r\n")]
    [InlineData("Grüße, 你好, مرحبا, 👩‍👩‍👧‍👦 \u0000 NUL inside")]
    [InlineData("<|im_end|> written by a user")]
    public void Text_becomes_tokens_and_the_same_text_again(string text)
    {
        int[] tokens = Vocab.Tokenize(text, addSpecial: false, parseSpecial: false);
        Assert.Equal(text, Vocab.Detokenize(tokens, special: false));
        Assert.Equal(Encoding.UTF8.GetByteCount(text), tokens.Length); // One token a byte here.
        Assert.DoesNotContain(tokens, Vocab.IsControl);
    }

    [Fact]
    public void Every_byte_has_a_token_whose_bytes_it_is()
    {
        for (int value = 0; value < 256; value++)
            Assert.Equal([(byte)value], Vocab.TokenBytes(value).ToArray());
        byte[] all = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        Assert.Equal(all, Vocab.DetokenizeBytes([.. Enumerable.Range(0, 256)], special: false));
    }

    [Fact]
    public void Control_tokens_are_parsed_only_when_asked_and_shown_only_when_asked()
    {
        int[] tokens = Vocab.Tokenize("<|im_start|>user\nhi<|im_end|>", addSpecial: false, parseSpecial: true);
        Assert.Equal(ByteVocabulary.ImStart, tokens[0]);
        Assert.Equal(ByteVocabulary.ImEnd, tokens[^1]);
        Assert.Equal("user\nhi", Vocab.Detokenize(tokens, special: false));
        Assert.Equal("<|im_start|>user\nhi<|im_end|>", Vocab.Detokenize(tokens, special: true));
        Assert.True(Vocab.TokenBytes(ByteVocabulary.ImEnd).IsEmpty);
    }

    [Fact]
    public void Special_tokens_are_known_by_role_and_by_name()
    {
        Assert.Equal(ByteVocabulary.ImEnd, Vocab.Eos);
        Assert.Equal(ByteVocabulary.EndOfText, Vocab.Bos);
        Assert.False(Vocab.AddBos);
        Assert.True(Vocab.IsEndOfGeneration(ByteVocabulary.ImEnd));
        Assert.True(Vocab.IsEndOfGeneration(ByteVocabulary.EndOfText));
        Assert.False(Vocab.IsEndOfGeneration('a'));
        Assert.Equal(ByteVocabulary.ImStart, Vocab.FindToken("<|im_start|>"));
        Assert.Equal('a', Vocab.FindToken("a"));
        Assert.Null(Vocab.FindToken("no such token"));
        Assert.Equal(ByteVocabulary.Count, Vocab.Count);
    }

    [Fact]
    public void Tokens_outside_the_vocabulary_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Vocab.TokenBytes(-1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => Vocab.TokenBytes(ByteVocabulary.Count).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => Vocab.IsEndOfGeneration(int.MaxValue));
    }

    [Fact]
    public void Reading_token_bytes_allocates_nothing()
    {
        long sum = 0;
        LlamaVocab vocab = Vocab;
        for (int i = 0; i < 1000; i++)
            sum += vocab.TokenBytes(i % 256).Length;
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
            sum += vocab.TokenBytes(i % 256).Length;
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(11_000, sum);
    }

    [Fact]
    public void Tokenizing_from_many_threads_gives_each_its_own_tokens()
    {
        Parallel.For(0, 200, i =>
        {
            string text = string.Concat(Enumerable.Repeat($"text {i} ", 50));
            Assert.Equal(text, Vocab.Detokenize(Vocab.Tokenize(text, addSpecial: false, parseSpecial: true), special: true));
        });
    }

    [Theory]
    [InlineData('a')]
    [InlineData(' ')]
    [InlineData('1')]
    [InlineData('\n')]
    [InlineData('é')]
    public void A_megabyte_of_one_character_neither_overflows_the_stack_nor_takes_for_ever(char character)
    {
        string text = new(character, 1 << 20);
        int[] tokens = Vocab.Tokenize(text, addSpecial: false, parseSpecial: true);
        Assert.Equal(Encoding.UTF8.GetByteCount(text), tokens.Length);
    }
}
