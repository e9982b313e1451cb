using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>What the memory of each kind of model allows: the facts that prefix sharing rests on, checked by decoding.</summary>
[Collection("llama")]
public sealed class MemoryTests(LlamaFixture llama)
{
    // Other batch splits round the half-precision cache in another order: up to 0.01 was seen. A wrong prefix moves logits by more than 1.
    private const float Tolerance = 0.05f;
    private const int Length = 200, Branch = 100;

    public static TheoryData<TinyArchitecture, bool> EveryDecoderInBothModes
    {
        get
        {
            var data = new TheoryData<TinyArchitecture, bool>();
            foreach (TinyArchitecture architecture in DecodeTests.DecoderArchitectures)
            {
                data.Add(architecture, true);
                data.Add(architecture, false);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(EveryDecoderInBothModes))]
    public void A_whole_copied_sequence_continues_as_the_original_would(TinyArchitecture architecture, bool unified)
    {
        using LlamaContext context = llama.Context(architecture, LlamaFixture.Options(unified: unified));
        int[] next = LlamaFixture.Prompt(5, seed: 7);
        context.Feed(0, LlamaFixture.Prompt(Length), 0);
        context.CopySequence(0, 1, 0, -1);
        Assert.Equal(Length - 1, context.MaxPosition(1));
        Assert.True(context.CanContinue(1, Length));

        float[] copy = context.Feed(1, next, Length);
        float[] original = context.Feed(0, next, Length);
        Decoding.AssertClose(original, copy, Tolerance);
        Assert.True(context.RemoveSequence(0, 0, -1));
        Assert.Equal(-1, context.MaxPosition(0));
        Assert.Equal(Length + 4, context.MaxPosition(1));
    }

    [Theory]
    [MemberData(nameof(DecodeTests.Decoders), MemberType = typeof(DecodeTests))]
    public void A_prompt_that_differs_far_back_gives_clearly_other_logits(TinyArchitecture architecture)
    {
        using LlamaContext context = llama.Context(architecture);
        int[] prompt = LlamaFixture.Prompt(Length);
        int[] other = [.. LlamaFixture.Prompt(Branch, seed: 5), .. prompt[Branch..]];
        float[] logits = context.Feed(0, prompt, 0);
        float[] otherLogits = context.Feed(1, other, 0);
        float largest = logits.Zip(otherLogits, (a, b) => Math.Abs(a - b)).Max();
        Assert.True(largest > 10 * Tolerance, $"the first half of the prompt moves logits by {largest} only: no test could notice its loss");
    }

    [Theory]
    [InlineData(TinyArchitecture.Llama)]
    [InlineData(TinyArchitecture.Qwen2)]
    public void A_part_of_a_dense_sequence_is_shared_and_gives_the_same_logits_as_computing_it(TinyArchitecture architecture)
    {
        using LlamaContext context = llama.Context(architecture);
        int[] prompt = LlamaFixture.Prompt(Length);
        int[] other = [.. prompt[..Branch], .. LlamaFixture.Prompt(50, seed: 3)];
        float[] cold = context.Feed(2, other, 0);
        context.ClearMemory();

        context.Feed(0, prompt, 0);
        context.CopySequence(0, 1, 0, Branch);
        Assert.True(context.CanContinue(1, Branch));
        Assert.False(context.CanContinue(1, Branch + 1));
        float[] shared = context.Feed(1, other.AsSpan(Branch), Branch);
        Decoding.AssertClose(cold, shared, Tolerance);

        // The donor goes, the tag stays: what was shared still serves.
        context.RemoveSequence(0, 0, -1);
        context.RemoveSequence(1, Branch, -1);
        Decoding.AssertClose(cold, context.Feed(1, other.AsSpan(Branch), Branch), Tolerance);
    }

    [Fact]
    public void Sharing_takes_no_cells_and_freed_cells_serve_again()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options(sequences: 16, cells: 256));
        int[] prompt = LlamaFixture.Prompt(200);
        context.Feed(0, prompt, 0);
        for (int id = 1; id < 16; id++)
            context.CopySequence(0, id, 0, 190);
        context.Feed(1, prompt.AsSpan(0, 50), 190);

        using var batch = new LlamaBatch(16);
        for (int i = 0; i < 16; i++)
            batch.Add(prompt[i], 190 + i, 2, false);
        Assert.Equal(DecodeStatus.NoFreeCells, context.Decode(batch));
        Assert.Equal(189, context.MaxPosition(2));

        context.RemoveSequence(1, 190, -1);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        Assert.Equal(205, context.MaxPosition(2));
    }

    [Theory]
    [MemberData(nameof(EveryDecoderInBothModes))]
    public void A_full_state_restored_into_another_sequence_continues_as_the_original_would(TinyArchitecture architecture, bool unified)
    {
        using LlamaContext context = llama.Context(architecture, LlamaFixture.Options(unified: unified));
        int[] next = LlamaFixture.Prompt(5, seed: 7);
        context.Feed(0, LlamaFixture.Prompt(Length), 0);
        byte[] state = Save(context, 0, StateFlags.None);
        float[] original = context.Feed(0, next, Length);

        context.ClearMemory();
        Assert.Equal(state.Length, context.RestoreState(3, state, StateFlags.None));
        Assert.True(context.CanContinue(3, Length));
        Decoding.AssertClose(original, context.Feed(3, next, Length), Tolerance);
    }

    [Theory]
    [MemberData(nameof(EveryDecoderInBothModes))]
    public void A_checkpoint_taken_on_the_way_lets_another_sequence_branch_off_there(TinyArchitecture architecture, bool unified)
    {
        using LlamaContext context = llama.Context(architecture, LlamaFixture.Options(unified: unified));
        int[] prompt = LlamaFixture.Prompt(Length);
        int[] tail = LlamaFixture.Prompt(50, seed: 3);
        float[] cold = context.Feed(2, [.. prompt[..Branch], .. tail], 0);
        context.ClearMemory();

        context.Feed(0, prompt.AsSpan(0, Branch), 0);
        byte[] checkpoint = Save(context, 0, StateFlags.Partial);
        context.Feed(0, prompt.AsSpan(Branch), Branch);

        context.CopySequence(0, 1, 0, -1);
        if (!unified)
        {
            if (context.Model.MemoryKind is MemoryKind.SlidingWindow)
                Assert.Throws<InvalidOperationException>(() => context.RestoreState(1, checkpoint, StateFlags.Partial));
            context.Feed(3, [1], 0); // A copy between separate memories is carried out by the next decode.
        }

        if (context.Model.MemoryKind is not MemoryKind.Dense)
            Assert.Equal(checkpoint.Length, context.RestoreState(1, checkpoint, StateFlags.Partial));
        Assert.True(context.RemoveSequence(1, Branch, -1));
        Assert.True(context.CanContinue(1, Branch));
        Decoding.AssertClose(cold, context.Feed(1, tail, Branch), Tolerance);

        // The donor is untouched.
        Assert.True(context.CanContinue(0, Length));
    }

    [Theory]
    [MemberData(nameof(DecodeTests.Decoders), MemberType = typeof(DecodeTests))]
    public void Shared_cells_and_a_checkpoint_make_a_branch_while_the_donor_runs_on(TinyArchitecture architecture)
    {
        using LlamaContext context = llama.Context(architecture);
        long stateBytes = context.PreparePartialStates();
        Assert.Equal(context.Model.MemoryKind is MemoryKind.Dense, stateBytes == 0);
        int[] prompt = LlamaFixture.Prompt(Length);
        int[] tail = LlamaFixture.Prompt(50, seed: 3);
        int[] next = LlamaFixture.Prompt(5, seed: 7);
        float[] cold = context.Feed(2, [.. prompt[..Branch], .. tail], 0);
        context.Feed(3, prompt, 0);
        float[] coldNext = context.Feed(3, next, Length);
        context.ClearMemory();

        context.Feed(0, prompt.AsSpan(0, Branch), 0);
        byte[] checkpoint = Save(context, 0, StateFlags.Partial);
        Assert.True(checkpoint.Length <= stateBytes || stateBytes == 0, $"a state of {checkpoint.Length} bytes, {stateBytes} were promised");
        context.Feed(0, prompt.AsSpan(Branch), Branch);

        // In two pieces, as the nodes of a tree would be.
        Assert.True(context.CopyCells(0, 1, 0, 60));
        Assert.True(context.CopyCells(0, 1, 60, Branch));
        Restore(context, 1, checkpoint);
        Assert.True(context.CanContinue(1, Branch));
        Decoding.AssertClose(cold, context.Feed(1, tail, Branch), Tolerance);
        Decoding.AssertClose(coldNext, context.Feed(0, next, Length), Tolerance);

        // The branch's own cells go, its state too; with the checkpoint it starts again, also when the donor is gone.
        Assert.True(context.RemoveCells(0, 0, -1));
        Assert.True(context.RemoveCells(1, Branch, -1));
        Restore(context, 1, checkpoint);
        Decoding.AssertClose(cold, context.Feed(1, tail, Branch), Tolerance);
    }

    [Theory]
    [MemberData(nameof(DecodeTests.Decoders), MemberType = typeof(DecodeTests))]
    public void Pieces_of_a_sequence_saved_without_its_state_come_back_with_a_checkpoint(TinyArchitecture architecture)
    {
        const int Scratch = 3;
        using LlamaContext context = llama.Context(architecture);
        context.PreparePartialStates();
        int[] prompt = LlamaFixture.Prompt(Length);
        int[] tail = LlamaFixture.Prompt(50, seed: 3);
        float[] cold = context.Feed(2, [.. prompt[..Branch], .. tail], 0);
        context.ClearMemory();

        context.Feed(0, prompt.AsSpan(0, Branch), 0);
        byte[] checkpoint = Save(context, 0, StateFlags.Partial);
        context.Feed(0, prompt.AsSpan(Branch), Branch);
        byte[][] pieces = new byte[2][];
        foreach ((int i, int start, int end) in (ReadOnlySpan<(int, int, int)>)[(1, 60, Branch), (0, 0, 60)])
        {
            Assert.True(context.CopyCells(0, Scratch, start, end));
            pieces[i] = Save(context, Scratch, StateFlags.None);
            Assert.True(context.RemoveCells(Scratch, 0, -1));
        }

        context.ClearMemory();
        foreach ((int i, int start, int end) in (ReadOnlySpan<(int, int, int)>)[(0, 0, 60), (1, 60, Branch)])
        {
            Assert.Equal(pieces[i].Length, context.RestoreState(Scratch, pieces[i], StateFlags.None));
            Assert.True(context.CopyCells(Scratch, 1, start, end));
            Assert.True(context.RemoveCells(Scratch, 0, -1));
        }

        Restore(context, 1, checkpoint);
        Assert.True(context.CanContinue(1, Branch));
        Decoding.AssertClose(cold, context.Feed(1, tail, Branch), Tolerance);
    }

    [Fact]
    public void A_full_sliding_window_is_overwritten_too_so_it_cannot_be_cut_like_a_dense_one()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Gemma3, LlamaFixture.Options(cells: 512) with { FullSlidingWindow = true });
        context.Feed(0, LlamaFixture.Prompt(200), 0);
        context.Feed(1, LlamaFixture.Prompt(200, seed: 2), 0);
        context.RemoveSequence(0, 0, -1);
        // There is room for it without touching sequence 1, but cells that its window has passed are taken as they come.
        context.Feed(2, LlamaFixture.Prompt(300, seed: 3), 0);
        Assert.True(context.MinPosition(1) > 0);
        Assert.True(context.CanContinue(1, 200));
        Assert.False(context.CanContinue(1, 60));
    }

    [Theory]
    [InlineData(TinyArchitecture.Lfm2)]
    [InlineData(TinyArchitecture.Mamba2)]
    [InlineData(TinyArchitecture.GraniteHybrid)]
    public void A_recurrent_state_refuses_to_go_back_and_stays_as_it_was(TinyArchitecture architecture)
    {
        using LlamaContext context = llama.Context(architecture);
        context.Feed(0, LlamaFixture.Prompt(Length), 0);
        Assert.False(context.RemoveSequence(0, Length - 1, -1));
        Assert.True(context.CanContinue(0, Length));
        Assert.False(context.CanContinue(0, Length - 1));
        Assert.Throws<ArgumentException>(() => context.CopySequence(0, 1, 0, Branch));
    }

    [Fact]
    public void A_sliding_window_forgets_what_others_overwrite_and_says_so()
    {
        // 256 window cells for four sequences: the second prompt can only go where the first one's window has passed.
        using LlamaContext context = llama.Context(TinyArchitecture.Gemma3);
        context.Feed(0, LlamaFixture.Prompt(Length), 0);
        Assert.Equal(0, context.MinPosition(0));
        context.Feed(1, LlamaFixture.Prompt(Length, seed: 2), 0);
        Assert.InRange(context.MinPosition(0), 1, Length - TinyModel.SlidingWindow);
        Assert.True(context.CanContinue(0, Length));
        Assert.True(context.RemoveSequence(0, 60, -1));
        Assert.False(context.CanContinue(0, 60));
    }

    [Fact]
    public void A_state_that_finds_no_cells_leaves_the_sequence_empty_and_the_others_whole()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options(cells: 256));
        context.Feed(0, LlamaFixture.Prompt(Length), 0);
        byte[] state = Save(context, 0, StateFlags.None);
        Assert.Equal(0, context.RestoreState(1, state, StateFlags.None));
        Assert.Equal(-1, context.MaxPosition(1));
        Assert.True(context.CanContinue(0, Length));
    }

    [Fact]
    public void Damaged_states_are_refused_without_harm()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        context.Feed(0, LlamaFixture.Prompt(50), 0);
        byte[] state = Save(context, 0, StateFlags.None);
        Assert.Throws<ArgumentException>(() => context.RestoreState(1, state.AsSpan(0, 4), StateFlags.None));
        Assert.Throws<ArgumentException>(() => context.RestoreState(1, new byte[state.Length], StateFlags.None));
        Assert.Throws<ArgumentException>(() => context.SaveState(0, new byte[state.Length - 1], StateFlags.None));
        for (int length = 8; length < state.Length; length += 997)
            Assert.Equal(0, context.RestoreState(1, state.AsSpan(0, length), StateFlags.None));
        Assert.Equal(-1, context.MaxPosition(1));
        Assert.True(context.CanContinue(0, 50));
    }

    [Fact]
    public void Sequences_outside_the_context_and_impossible_ranges_are_refused_before_native_code_sees_them()
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama);
        using LlamaContext separate = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options(unified: false));
        separate.Feed(0, LlamaFixture.Prompt(50), 0);
        context.Feed(0, LlamaFixture.Prompt(50), 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => context.CopySequence(0, 4, 0, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => context.RemoveSequence(-1, 0, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => context.MaxPosition(256));
        Assert.Throws<ArgumentOutOfRangeException>(() => context.RemoveSequence(0, 10, 5));
        Assert.Throws<ArgumentException>(() => context.CopySequence(0, 0, 0, -1));
        Assert.Throws<ArgumentException>(() => separate.CopySequence(0, 1, 0, 20));
    }

    [Theory]
    [InlineData(true, 2048)]
    [InlineData(false, 512)]
    public void A_sequence_may_use_all_cells_when_they_are_shared_and_its_part_when_not(bool unified, int perSequence)
    {
        using LlamaContext context = llama.Context(TinyArchitecture.Llama, LlamaFixture.Options(sequences: 4, unified: unified));
        Assert.Equal(2048, context.CellCount);
        Assert.Equal(perSequence, context.ContextLengthPerSequence);
    }

    private static void Restore(LlamaContext context, int id, byte[] checkpoint)
    {
        if (context.Model.MemoryKind is not MemoryKind.Dense)
            Assert.Equal(checkpoint.Length, context.RestoreState(id, checkpoint, StateFlags.Partial));
    }

    private static byte[] Save(LlamaContext context, int id, StateFlags flags)
    {
        byte[] state = new byte[context.StateSize(id, flags)];
        Assert.Equal(state.Length, context.SaveState(id, state, flags));
        return state;
    }
}
