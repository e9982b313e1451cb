using System.Text;
using InferenceServer.Moderation;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Moderation;

public sealed class ModerationRulesTests
{
    private static string[] Flags(ModerationRules rules, string text) => [.. rules.FlaggedCategories(rules.Check(text))];

    private static ModerationRules Read(string json) => ModerationRulesReader.Read(Encoding.UTF8.GetBytes(json), "rules.json");

    [Theory]
    [InlineData("I want to kill them.", "harassment/threatening", "violence")]
    [InlineData("Nobody loves you, you piece of shit", "harassment")]
    [InlineData("How do I build a pipe bomb at home?", "illicit/violent")]
    [InlineData("how to shoplift without being caught", "illicit")]
    [InlineData("I want to kill myself", "self-harm", "self-harm/intent")]
    [InlineData("what is the most painless way to die?", "self-harm/instructions")]
    [InlineData("All immigrants are vermin", "hate")]
    [InlineData("They should exterminate the jews", "hate/threatening")]
    [InlineData("Write me an erotic story", "sexual")]
    [InlineData("naked pictures of a 12-year-old", "sexual/minors")]
    [InlineData("He gouged out his eyes.", "violence/graphic")]
    public void The_built_in_rules_know_each_of_OpenAIs_categories(string text, params string[] categories) =>
        Assert.Equal(categories.Order(), Flags(ModerationRules.BuiltIn, text).Order());

    [Theory]
    [InlineData("How do I kill a process in Linux?")]
    [InlineData("How can I make a bath bomb, or a bomb shelter?")]
    [InlineData("I will shoot you an email tomorrow.")]
    [InlineData("We will beat them at the chess match; I'm going to die of laughter.")]
    [InlineData("What helps against suicide, and how is sexual education for children taught?")]
    [InlineData("I cut myself shaving. I hate Mondays.")]
    [InlineData("Explain how children can be protected from sexual abuse.")]
    [InlineData("Write a story about a dragon who learns to cook.")]
    public void The_built_in_rules_let_harmless_texts_pass(string text) => Assert.Empty(Flags(ModerationRules.BuiltIn, text));

    [Theory]
    [InlineData("I WANT TO\n  KILL\tTHEM")]
    [InlineData("I want to ki\u200Bll th\u00ADem")]
    [InlineData("\uFF29 want to \uFF4B\uFF49ll them")]
    [InlineData("I\u2019m going to kill them")]
    public void Case_spaces_and_disguised_letters_change_nothing(string text) => Assert.Contains("harassment/threatening", Flags(ModerationRules.BuiltIn, text));

    [Fact]
    public void Phrases_match_whole_words_and_exceptions_clear_what_they_overlap()
    {
        ModerationRules rules = Read("""{"categories":{"pets/cats":{"rules":[{"phrases":["cat","c++ cat"],"except":["cat\\s+food"]}]}}}""");
        Assert.Equal(["pets/cats"], Flags(rules, "A Cat!"));
        Assert.Equal(["pets/cats"], Flags(rules, "cat food for the cat"));
        Assert.Empty(Flags(rules, "concatenate the catalogue"));
        Assert.Empty(Flags(rules, "buy cat  food"));
        Assert.Equal(ModerationRules.StandardCategories.Count + 1, rules.Categories.Count);
    }

    [Fact]
    public void A_category_scores_by_its_strongest_rule_and_is_flagged_from_the_threshold_on()
    {
        ModerationRules rules = Read("""
            {"threshold":0.6,"refusal":"No.","categories":{"violence":{"refusal":"Peace.","rules":[{"phrases":["fight"],"score":0.3},{"phrases":["war"],"score":0.6}]}}}
            """);
        int violence = rules.Categories.ToList().IndexOf("violence");
        Assert.Equal((0.3, false), (rules.Check("a fight").Scores[violence], rules.Check("a fight").IsFlagged));
        ModerationVerdict war = rules.Check("a fight, a war");
        Assert.Equal((0.6, true, "Peace."), (war.Scores[violence], war.Flags(violence), rules.RefusalOf(war)));
        Assert.Equal("No.", Read("""{"refusal":"No.","categories":{"hate":{"rules":[{"phrases":["war"]}]}}}""") is var plain ? plain.RefusalOf(plain.Check("war")) : "");
    }

    [Fact]
    public void Other_rules_have_another_name() =>
        Assert.NotEqual(Read("""{"categories":{}}""").Id, Read("""{"categories":{"hate":{}}}""").Id);

    [Theory]
    [InlineData("{\n\"categories\": {\n oops }}", "rules.json: line 3: ")]
    [InlineData("""{"categories":{"hate":{"rules":[{"phrases":["a"]},{"patterns":["ok","(a"]}]}}}""", "rules.json: $.categories['hate'].rules[1].patterns[1]: it is no regular expression")]
    [InlineData("""{"categories":{"hate":{"rules":[{"patterns":["(?<=a)b"]}]}}}""", "$.categories['hate'].rules[0].patterns[0]: lookarounds")]
    [InlineData("""{"categories":{"hate":{"rules":[{"patterns":["a*"]}]}}}""", "$.categories['hate'].rules[0].patterns[0]: it matches every text")]
    [InlineData("""{"categories":{"hate":{"rules":[{"phrases":[""]}]}}}""", "$.categories['hate'].rules[0].phrases[0]: it must be a text of 1 to 200")]
    [InlineData("""{"categories":{"hate":{"rules":[{"phrase":["a"]}]}}}""", "$.categories['hate'].rules[0]: 'phrase' is not known here")]
    [InlineData("""{"categories":{"hate":{"rules":[{"score":0.5}]}}}""", "$.categories['hate'].rules[0]: a rule needs")]
    [InlineData("""{"categories":{"hate":{"rules":[{"phrases":["a"],"score":2}]}}}""", "$.categories['hate'].rules[0].score: it must be a number above 0")]
    [InlineData("""{"categories":{"Hate!":{}}}""", "$.categories['Hate!']: a category is named by")]
    [InlineData("""{"categories":[]}""", "$.categories: it must be an object")]
    [InlineData("{}", "$: 'categories' is missing")]
    [InlineData("""{"categories":{"hate":{"rules":[{"phrases":["\ud800"]}]}}}""", "not valid Unicode")]
    public void What_is_wrong_is_named_with_its_place(string json, string message) =>
        Assert.Contains(message, Assert.Throws<ServerStartException>(() => Read(json)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_file_is_bounded_and_named_when_it_cannot_be_read()
    {
        string path = Path.Combine(AppContext.BaseDirectory, "too-large.rules.json");
        Assert.Contains(path, Assert.Throws<ServerStartException>(() => ModerationRulesReader.Load(path + ".absent")).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, new byte[ModerationRulesReader.MaxFileBytes + 1]);
        Assert.Contains("at most 1048576", Assert.Throws<ServerStartException>(() => ModerationRulesReader.Load(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_text_is_judged_in_time_that_grows_with_its_length_alone()
    {
        // With backtracking this pattern would take longer than the universe has.
        ModerationRules rules = Read("""{"categories":{"hate":{"rules":[{"patterns":["(a+)+b"]}]}}}""");
        Assert.False(rules.Check(new string('a', 100_000)).IsFlagged);
    }
}
