using System.Diagnostics;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Benchmarks;

/// <summary>What constraints cost. The model's weights are random, so it pushes against the grammar at every token.</summary>
internal static class ConstraintWorks
{
    private const int Streams = 8, Input = 64, Output = 64;

    /// <summary>Never whole within the tokens that are asked for.</summary>
    private const string Schema =
        """{"type":"array","minItems":60,"items":{"type":"object","properties":{"name":{"type":"string","minLength":4,"maxLength":24},"age":{"type":"integer"},"ok":{"type":"boolean"},"kind":{"enum":["red","green","blue"]},"tags":{"type":"array","items":{"type":"string","maxLength":12},"maxItems":3}},"required":["name","age","ok","kind","tags"],"additionalProperties":false}}""";

    /// <summary>The same objects for both engines, in a notation that both read.</summary>
    private const string Grammar = """"
        root ::= "[" item ("," item){60,} "]"
        item ::= "{\"name\":\"" char{4,24} "\",\"age\":" int ",\"ok\":" ("true" | "false") ",\"kind\":" ("\"red\"" | "\"green\"" | "\"blue\"") ",\"tags\":[" (text ("," text){0,2})? "]}"
        text ::= "\"" char{0,12} "\""
        char ::= [^"\\\x7F\x00-\x1F]
        int ::= "0" | "-"? [1-9] [0-9]{0,5}
        """";

    private static string Fields(string fields) => $"{Works.TemperatureOne},{fields}";

    private static string SchemaFields => Fields($"\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"people\",\"schema\":{Schema}}}}}");

    /// <summary>Replies held to a schema against the same number of free tokens.</summary>
    public static async Task<BenchmarkRow> AgainstFreeAsync(BenchmarkSetup setup)
    {
        await using Server server = await Server.StartAsync(setup, Works.Cells);
        async Task<double> RunAsync(int seed, string fields, bool ignoreEos)
        {
            double seconds = await server.RunAsync(Works.Prompts(setup, Streams, Input, seed), Output, fields, ignoreEos);
            await server.RestAsync();
            return seconds;
        }
        Pairs pairs = await Pairs.RunAsync(
            setup.Options.Pairs, pair => RunAsync(700 + pair, Works.TemperatureOne, ignoreEos: true), pair => RunAsync(800 + pair, SchemaFields, ignoreEos: false));
        (double free, double held) = (Speed(pairs.FirstSeconds), Speed(pairs.SecondSeconds));
        return new BenchmarkRow($"{Streams} streams held to a JSON schema, {Input} in, {Output} out, temperature 1", ">= 0.85 of the same free",
            $"{pairs.Ratio:F3} ({held:F0} of {free:F0} tok/s; pairs {pairs})", pairs.Ratio >= 0.85, new() { ["ratio"] = pairs.Ratio, ["held"] = held, ["free"] = free });
    }

    private static double Speed(IEnumerable<double> seconds) => Streams * Output / Report.Median(seconds);

    /// <summary>One grammar, served by this engine over HTTP and by llama.cpp's own grammar sampler in a bare loop.</summary>
    public static async Task<BenchmarkRow> AgainstLlamaAsync(BenchmarkSetup setup)
    {
        await using Server server = await Server.StartAsync(setup, Works.Cells);
        using GrammarLoop raw = new(setup, Streams, Works.Cells, Grammar);
        string fields = Fields($"\"grammar\":{JsonSerializer.Serialize(Grammar)}");
        int[][] Prompts(int pair) => Works.Prompts(setup, Streams, Input, 900 + pair);
        Pairs pairs = await Pairs.RunAsync(setup.Options.Pairs, pair => Task.FromResult(raw.Run(Prompts(pair), Output)), async pair =>
        {
            double seconds = await server.RunAsync(Prompts(pair), Output, fields, ignoreEos: false);
            await server.RestAsync();
            return seconds;
        });
        (double theirs, double ours) = (Speed(pairs.FirstSeconds), Speed(pairs.SecondSeconds));
        return new BenchmarkRow($"{Streams} streams held to a GBNF grammar, served, against a bare loop with llama.cpp's sampler", ">= 2 x its tokens/s",
            $"{pairs.Ratio:F2} x ({ours:F0} against {theirs:F0} tok/s)", pairs.Ratio >= 2, new() { ["ratio"] = pairs.Ratio, ["ours"] = ours, ["theirs"] = theirs });
    }

    private static readonly (string Name, Func<CompiledConstraint> Compile)[] Constraints =
    [
        ("people", () => CompiledConstraint.FromJsonSchema(Schema)),
        ("any object", () => CompiledConstraint.FromJsonObject()),
        ("20 optional in any order", () => CompiledConstraint.FromJsonSchema(Optional(20))),
        ("60 optional in any order", () => CompiledConstraint.FromJsonSchema(Optional(60))),
        ("hostname", () => CompiledConstraint.FromJsonSchema("""{"type":"string","format":"hostname"}""")),
        ("50 properties", () => CompiledConstraint.FromJsonSchema(FiftyProperties())),
        ("maxLength 10000", () => CompiledConstraint.FromJsonSchema("""{"type":"string","maxLength":10000}""")),
        ("maxLength 80", () => CompiledConstraint.FromJsonSchema("""{"type":"string","minLength":1,"maxLength":80}""")),
        ("pattern", () => CompiledConstraint.FromJsonSchema("""{"type":"string","pattern":"^[A-Za-z ]{3,40}(-[0-9]{2,4})?$"}""")),
        ("lines", () => CompiledConstraint.FromGbnf("root ::= ([^\\n]{1,80} \"\\n\"){3}")),
        ("people in GBNF", () => CompiledConstraint.FromGbnf(Grammar)),
        ("regex", () => CompiledConstraint.FromRegex("(\\p{L}{1,12} ){1,20}\\p{L}+[.!?]")),
        ("80 of any but a line's end", () => CompiledConstraint.FromRegex("[^\\n]{1,80}")),
        ("200 letters", () => CompiledConstraint.FromRegex("\\p{L}{1,200}")),
        ("counts in counts", () => CompiledConstraint.FromRegex("((\\p{Lu}\\p{Ll}{0,9}|\\p{N}{1,4})[ ,-]){1,30}(\\p{L}|\\p{M}){2,40}")),
        ("letters in GBNF", () => CompiledConstraint.FromGbnf("root ::= ([a-zà-ÿа-я]{1,12} \" \"){1,20} [一-龥]{1,40} [.!?]")),
        ("words in a schema", () => CompiledConstraint.FromJsonSchema("""{"type":"string","pattern":"^(\\p{L}{1,12} ){1,20}\\p{L}+$"}""")),
        ("calls in text", () => CompiledConstraint.FromParts(ConstraintPart.FreeText(
            [new("<tool_call>", ConstraintPart.Sequence(ConstraintPart.Text("\n{\"name\": \"f\", \"arguments\": "), ConstraintPart.JsonSchema(Schema), ConstraintPart.Text("}\n</tool_call>")))],
            resumes: true, allowsControlTokens: true))),
    ];

    /// <summary>Times of masks along random replies. Each walk is made several times over, anew, and the least time of a step counts: the rest is the machine's.</summary>
    public static Task<BenchmarkRow> MasksAsync(BenchmarkSetup setup)
    {
        ServedVocabulary served = ServedVocabulary.Of(setup.Model.Vocab);
        long start = Stopwatch.GetTimestamp();
        TokenVocabularyTrie vocabulary = TokenVocabularyTrie.Build(
            [.. Enumerable.Range(0, served.Count).Select(token => (ReadOnlyMemory<byte>)served.Bytes(token, false).ToArray())], served.EndTokens, served.ControlTokens);
        double built = Stopwatch.GetElapsedTime(start).TotalSeconds;
        // The benchmark model's tokens are Latin letters only; real ones hold all scripts.
        TokenVocabularyTrie scripts = TokenVocabularyTrie.Build(ManyScripts(served.Count), [0], new Dictionary<int, string>());
        (double worstCold, double worstScripts, double worstCached) = (0, 0, 0);
        StringBuilder each = new();
        foreach ((string name, Func<CompiledConstraint> compile) in Constraints)
        {
            (double cold, double cached) = Walks(compile, vocabulary);
            (double coldScripts, double cachedScripts) = Walks(compile, scripts);
            (worstCold, worstScripts, worstCached) = (Math.Max(worstCold, cold), Math.Max(worstScripts, coldScripts), Math.Max(worstCached, Math.Max(cached, cachedScripts)));
            each.Append(each.Length > 0 ? ", " : "").Append($"{name} {cold * 1000:F2}; {coldScripts * 1000:F2}");
        }

        string fifty = FiftyProperties();
        List<double> compiles = [];
        for (int i = 0; i < 40; i++)
        {
            start = Stopwatch.GetTimestamp();
            CompiledConstraint.FromJsonSchema(fifty.Replace("p49", $"q{i}", StringComparison.Ordinal));
            compiles.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        double compile50 = Report.Median(compiles.Skip(20));
        double megabytes = (vocabulary.Bytes + vocabulary.CachedMaskBytes) / 1e6;
        return Task.FromResult(new BenchmarkRow($"masks over {served.Count} tokens", "cached < 50 us, uncached < 2 ms, 50 properties < 20 ms, < 100 MB",
            $"cached {worstCached * 1e6:F1} us, uncached {worstCold * 1000:F2} ms at worst, {worstScripts * 1000:F2} over made-up words of many scripts ({each}); 50 properties {compile50 * 1000:F1} ms; trie built in {built:F1} s, {megabytes:F0} MB with its masks",
            worstCached < 50e-6 && worstCold < 2e-3 && compile50 < 20e-3 && megabytes < 100,
            new() { ["cachedSeconds"] = worstCached, ["uncachedSeconds"] = worstCold, ["uncachedScriptsSeconds"] = worstScripts, ["compileSeconds"] = compile50, ["megabytes"] = megabytes }));
    }

    private static (double Cold, double Cached) Walks(Func<CompiledConstraint> compile, TokenVocabularyTrie vocabulary)
    {
        const int Steps = 150, Rounds = 5;
        (double worstCold, double worstCached) = (0, 0);
        TokenMask mask = new(vocabulary.VocabularySize);
        for (int seed = 0; seed < 2; seed++)
        {
            double[] cold = new double[Steps], cached = new double[Steps];
            Array.Fill(cold, double.MaxValue);
            Array.Fill(cached, double.MaxValue);
            int steps = 0;
            for (int round = 0; round < Rounds; round++)
            {
                Random random = new(seed);
                ConstraintState state = new(compile(), vocabulary);
                for (steps = 0; steps < Steps && !state.MustEnd; steps++)
                {
                    long start = Stopwatch.GetTimestamp();
                    state.FillMask(mask);
                    cold[steps] = Math.Min(cold[steps], Stopwatch.GetElapsedTime(start).TotalSeconds);
                    start = Stopwatch.GetTimestamp();
                    state.FillMask(mask);
                    cached[steps] = Math.Min(cached[steps], Stopwatch.GetElapsedTime(start).TotalSeconds);
                    if (!state.TryAccept(Choose(mask, random)))
                        break;
                }
            }
            worstCold = Math.Max(worstCold, cold.Take(steps).Max());
            worstCached = Math.Max(worstCached, cached.Take(steps).Max());
        }
        return (worstCold, worstCached);
    }

    private static int Choose(TokenMask mask, Random random)
    {
        int left = random.Next(mask.Count);
        for (int word = 0; ; word++)
        {
            int here = System.Numerics.BitOperations.PopCount(mask.Words[word]);
            if (left >= here)
            {
                left -= here;
                continue;
            }
            ulong bits = mask.Words[word];
            for (; left > 0; left--)
                bits &= bits - 1;
            return (word << 6) + System.Numerics.BitOperations.TrailingZeroCount(bits);
        }
    }

    /// <summary>Words of all scripts with and without a space before them, punctuation, numbers, single bytes and halves of characters.</summary>
    private static ReadOnlyMemory<byte>[] ManyScripts(int count)
    {
        Random random = new(1);
        (int First, int Last, int MostLetters)[] scripts =
        [
            (0xE0, 0xFF, 6), (0x3B1, 0x3C9, 8), (0x430, 0x44F, 9), (0x430, 0x44F, 9), (0x5D0, 0x5EA, 6), (0x620, 0x64A, 6), (0x905, 0x939, 5), (0xE01, 0xE30, 6), (0x3041, 0x3096, 5),
            (0x4E00, 0x9FA5, 4), (0x4E00, 0x9FA5, 3), (0x4E00, 0x9FA5, 2), (0x4E00, 0x9FA5, 2), (0xAC00, 0xD7A3, 3), (0x1F600, 0x1F64F, 1),
        ];
        HashSet<string> words = [];
        List<ReadOnlyMemory<byte>> tokens = [ReadOnlyMemory<byte>.Empty, .. Enumerable.Range(0, 256).Select(b => (ReadOnlyMemory<byte>)new[] { (byte)b })];
        for (int b = 0xE4; b < 0xEA; b++)
            for (int second = 0x80; second < 0xC0; second++)
                tokens.Add(new[] { (byte)b, (byte)second });
        while (tokens.Count < count)
        {
            (int first, int last, int most) = random.Next(100) switch
            {
                < 3 => ('!', '/', 5),
                < 5 => ('0', '9', 3),
                < 15 => ('A', 'Z', 6),
                < 65 => ('a', 'z', 10),
                _ => scripts[random.Next(scripts.Length)],
            };
            string text = string.Concat(Enumerable.Range(0, 1 + random.Next(most)).Select(_ => char.ConvertFromUtf32(random.Next(first, last + 1))));
            if (random.Next(2) == 0)
                text = " " + text;
            if (words.Add(text))
                tokens.Add(Encoding.UTF8.GetBytes(text));
        }
        return [.. tokens];
    }

    private static string Optional(int count) =>
        $"{{\"type\":\"object\",\"properties\":{{{string.Join(',', Enumerable.Range(0, count).Select(i => $"\"p{i}\":{{\"type\":\"string\",\"maxLength\":12}}"))}}},\"additionalProperties\":false}}";

    private static string FiftyProperties()
    {
        string[] kinds =
        [
            """{"type":"string","maxLength":40}""", """{"type":"integer","minimum":0,"maximum":1000}""", """{"enum":["low","middle","high"]}""", """{"type":"array","items":{"type":"number"},"maxItems":5}""",
            """{"type":"string","format":"date-time"}""", """{"type":["boolean","null"]}""", """{"type":"object","properties":{"x":{"type":"number"},"y":{"type":"number"}},"required":["x","y"],"additionalProperties":false}""",
        ];
        string properties = string.Join(',', Enumerable.Range(0, 50).Select(i => $"\"p{i}\":{kinds[i % kinds.Length]}"));
        return $"{{\"type\":\"object\",\"properties\":{{{properties}}},\"required\":[{string.Join(',', Enumerable.Range(0, 25).Select(i => $"\"p{i * 2}\""))}],\"additionalProperties\":false}}";
    }
}
