using System.Data;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Tokenizer;

using Xunit;

namespace InferenceServer.Training.Tests;

public sealed class CorpusTests(Toy toy) : IClassFixture<Toy>
{
    [Fact]
    public void No_text_keeps_a_mark_of_the_notation_or_an_empty_reply()
    {
        var dialogues = new DialogueGenerator(toy.Grammar, 2);
        var random = new SeededRandom(3);
        for (int i = 0; i < 3000; i++)
        {
            Dialogue dialogue = dialogues.Next();
            foreach (Message message in dialogue.Messages)
            {
                Assert.False(string.IsNullOrWhiteSpace(message.Text), $"empty text in {dialogue.Skill}");
                Assert.True(dialogue.Messages.Any(m => m.Text.Contains("```", StringComparison.Ordinal)) || !message.Text.Contains('{', StringComparison.Ordinal), message.Text);
                Assert.DoesNotContain("  ", message.Text.Replace("\n    ", "", StringComparison.Ordinal).Replace("    ", "", StringComparison.Ordinal), StringComparison.Ordinal);
            }

            Assert.DoesNotContain("{", toy.Grammar.Expand("prose", random), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Roles_alternate_and_every_dialogue_ends_with_the_assistant()
    {
        var dialogues = new DialogueGenerator(toy.Grammar, 4);
        for (int i = 0; i < 2000; i++)
        {
            string[] roles = [.. dialogues.Next().Messages.Select(m => m.Role).SkipWhile(r => r == "system")];
            Assert.True(roles.Length % 2 == 0);
            Assert.All(roles.Select((role, at) => (role, at)), r => Assert.Equal(r.at % 2 == 0 ? "user" : "assistant", r.role));
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_corpus_and_few_dialogues_come_twice()
    {
        string[] first = Draw(), second = Draw();
        Assert.Equal(first, second);
        Assert.True(first.Distinct().Count() > first.Length * 0.85, $"{first.Distinct().Count()} distinct of {first.Length}");

        string[] Draw()
        {
            var dialogues = new DialogueGenerator(toy.Grammar, 5);
            return [.. Enumerable.Range(0, 4000).Select(_ => dialogues.Next().PromptText)];
        }
    }

    [Fact]
    public void A_recalled_fact_was_told_before_it_is_asked_for()
    {
        var recall = new Recall(toy.Grammar, new SeededRandom(6));
        for (int i = 0; i < 500; i++)
        {
            Recall.ToldFact fact = recall.Draw(1)[0];
            Assert.Contains(fact.Value, fact.Tell().User, StringComparison.OrdinalIgnoreCase);
            Assert.Contains(fact.Value, fact.Ask().Assistant, StringComparison.OrdinalIgnoreCase);
            Assert.False(AnswerKeys.Holds(fact.Ask().User, fact.Value), fact.Value);
        }
    }

    [Fact]
    public void Every_step_of_every_sum_in_the_corpus_is_right()
    {
        var skills = new Skills(toy.Grammar, new SeededRandom(7));
        string[] sums = [.. Enumerable.Range(0, 100).SelectMany(_ => skills.SumsPage().Split('\n')), .. Worked((62, 35, '-'), (23, 4, '*'), (7, 12, '+'))];
        Assert.Contains("62 - 35 = 62 - 30 - 5 = 32 - 5 = 27.", sums);
        Assert.Contains("23 * 4 = 20 * 4 + 3 * 4 = 80 + 12 = 92.", sums);
        foreach (string sum in sums)
        {
            using var table = new DataTable();
            Assert.Single(sum.TrimEnd('.').Split(" = ").Select(side => table.Compute(side, null).ToString()).Distinct());
        }

        static IEnumerable<string> Worked(params (int A, int B, char Sign)[] sums) => sums.Select(s => Skills.TellSum(s.A, s.B, s.Sign));
    }

    [Fact]
    public void No_part_that_evaluation_asks_for_is_ever_drawn_in_training()
    {
        var heldOut = Grammar.Read(Toy.Data, heldOut: true);
        (HashSet<string> questions, HashSet<string> names, HashSet<string> acts) = Parts(toy.Grammar);
        (HashSet<string> asked, HashSet<string> called, HashSet<string> harms) = Parts(heldOut);
        Assert.NotEmpty(harms);
        Assert.Empty(questions.Intersect(asked));
        Assert.Empty(names.Intersect(called));
        Assert.Empty(acts.Intersect(harms));

        static (HashSet<string>, HashSet<string>, HashSet<string>) Parts(Grammar grammar)
        {
            var dialogues = new DialogueGenerator(grammar, 10);
            var names = new Names(grammar, new SeededRandom(11));
            string[] skills = ["country", "animal", "why", "fact", "howto", "word", "harmless", "format"];
            return (
                [.. Enumerable.Range(0, 4000).Select(i => dialogues.Next(skills[i % skills.Length]).Messages.First(m => m.Role == "user").Text)],
                [.. Enumerable.Range(0, 4000).Select(i => i % 2 == 0 ? names.Person() : names.Pet())],
                [.. Skills.HarmfulActs(grammar).Select(h => h.Act)]);
        }
    }

    [Fact]
    public void Only_the_assistants_words_and_message_ends_are_learnt_in_sft()
    {
        Message[] messages = [new("system", "Be brief."), new("user", "Hello!"), new("assistant", "Hi there."), new("user", "Bye!"), new("assistant", "Good night!")];
        Document document = ChatFormat.Encode(toy.Tokenizer, new Dialogue(messages, "greeting"), assistantOnly: true);
        string learnt = toy.Tokenizer.Decode(document.Tokens.Where((_, i) => document.Learn[i]));
        Assert.Equal("Hi there.<|im_end|>Good night!<|im_end|>", learnt);
        string all = toy.Tokenizer.Decode(document.Tokens);
        Assert.Equal("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\nHi there.<|im_end|>\n<|im_start|>user\nBye!<|im_end|>\n<|im_start|>assistant\nGood night!<|im_end|>\n", all);
        Assert.Equal(document.Tokens[..^(toy.Tokenizer.Encode("Good night!").Count + 1 + toy.Tokenizer.Encode("\n").Count)], ChatFormat.EncodePrompt(toy.Tokenizer, messages[..4]));
    }

    [Fact]
    public void Padding_and_held_out_prompts_never_reach_a_batch_as_something_to_learn()
    {
        var stream = new CorpusStream(Toy.Data, toy.Tokenizer, new Mixture { MaxTokens = 256 }, 512, 8);
        for (int i = 0; i < 200; i++)
        {
            Batch batch = stream.Next();
            Assert.True(batch.Rows * batch.Length <= 512 || batch.Rows == 1);
            for (int row = 0; row < batch.Rows; row++)
            {
                long[] tokens = batch.Tokens[(row * batch.Length)..((row + 1) * batch.Length)];
                float[] weights = batch.Weights[(row * batch.Length)..((row + 1) * batch.Length)];
                int end = Array.FindLastIndex(tokens, t => t != toy.Tokenizer.EndOfTextId) + 1;
                Assert.All(weights[end..], w => Assert.Equal(0, w));
                Assert.Equal(0, weights[0]);
            }
        }
    }

    [Fact]
    public void Any_text_survives_encoding_and_the_trainer_is_deterministic()
    {
        foreach (string text in new[] { "Hello, world!", " two  spaces\n\n and\ttabs ", "naïve café 123 4567", "日本語 🙂 <|im_end|>", "" })
        {
            Assert.Equal(text, toy.Tokenizer.Decode(toy.Tokenizer.Encode(text)));
        }

        Assert.DoesNotContain(toy.Tokenizer.MessageEndId, toy.Tokenizer.Encode("<|im_end|>"));
        string[] corpus = ["the cat sat on the mat", "the dog sat on the cat"];
        Assert.Equal(BpeTrainer.Train(corpus, 266).Merges, BpeTrainer.Train(corpus, 266).Merges);
        Assert.Throws<InvalidDataException>(() => BpeTrainer.Train(["ab"], 400));
    }

    [Fact]
    public void A_wrong_answer_differs_from_the_right_one_in_its_key_alone()
    {
        var keys = new AnswerKeys(toy.Grammar);
        const string Question = "What is the capital of France?", Reply = "The capital of France is Paris.";
        Assert.Equal("Paris", keys.Find("country", Question, Reply)?.Cell);
        string wrong = Enumerable.Range(0, 9).Select(i => keys.Wrong("country", Question, Reply, new SeededRandom((ulong)i))).First(w => w is not null)!;
        Assert.StartsWith("The capital of France is ", wrong, StringComparison.Ordinal);
        Assert.NotEqual(Reply, wrong);
        Assert.Null(keys.Find("country", Question, "I have never been there."));
        Assert.True(AnswerKeys.Holds("It is Oslo.", "oslo") && !AnswerKeys.Holds("Czechoslovakia", "oslo"));
        Assert.True(Judge.Score(Reply, "Paris", "It is Paris.", ended: true) > Judge.Score(Reply, "Paris", "The capital of France is Rome.", ended: true));
    }

    [Fact]
    public void A_comparison_of_each_kind_has_two_different_replies()
    {
        var comparisons = new ComparisonGenerator(toy.Grammar, 9);
        Comparison[] drawn = [.. Enumerable.Range(0, 1500).Select(_ => comparisons.Next())];
        Assert.Equal(["brief", "broken", "needless", "refusal", "topic", "truthful"], drawn.Select(c => c.Kind).Distinct().Order(StringComparer.Ordinal));
        Assert.All(drawn, c => Assert.NotEqual(c.Chosen, c.Rejected));
    }
}
