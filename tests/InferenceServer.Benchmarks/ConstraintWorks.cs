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
        (double worstCold, double worstCached) = (0, 0);
        StringBuilder each = new();
        foreach ((string name, Func<CompiledConstraint> compile) in Constraints)
        {
            (double cold, double cached) = Walks(compile, vocabulary);
            (worstCold, worstCached) = (Math.Max(worstCold, cold), Math.Max(worstCached, cached));
            each.Append(each.Length > 0 ? ", " : "").Append($"{name} {cold * 1000:F2}");
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
            $"cached {worstCached * 1e6:F1} us, uncached {worstCold * 1000:F2} ms at worst ({each}); 50 properties {compile50 * 1000:F1} ms; trie built in {built:F1} s, {megabytes:F0} MB with its masks",
            worstCached < 50e-6 && worstCold < 2e-3 && compile50 < 20e-3 && megabytes < 100,
            new() { ["cachedSeconds"] = worstCached, ["uncachedSeconds"] = worstCold, ["compileSeconds"] = compile50, ["megabytes"] = megabytes }));
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
