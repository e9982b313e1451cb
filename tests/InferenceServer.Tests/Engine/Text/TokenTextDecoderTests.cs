using System.Text;
using InferenceServer.Engine.Text;

namespace InferenceServer.Tests.Engine.Text;

public sealed class TokenTextDecoderTests
{
    [Fact]
    public void Deltas_joined_are_the_whole_decoded_however_random_bytes_are_split()
    {
        int seed = 4711;
        Random random = new(seed);
        for (int round = 0; round < 3000; round++)
        {
            byte[] bytes = RandomBytes(random);
            List<string> deltas = Run(bytes, random, [], out _);
            Assert.True(Encoding.UTF8.GetString(bytes) == string.Concat(deltas), $"seed {seed}, round {round}: {Convert.ToHexString(bytes)}");
            foreach (string delta in deltas)
                AssertWholeCharacters(delta, $"seed {seed}, round {round}");
        }
    }

    [Fact]
    public void A_stop_string_anywhere_over_any_split_ends_the_text_before_it()
    {
        int seed = 815;
        Random random = new(seed);
        string[] alphabet = ["a", "b", "ab", "é", "日", "😀", "😁"];
        for (int round = 0; round < 5000; round++)
        {
            string text = Words(random, alphabet, 40);
            string[] stops = new string[random.Next(1, 5)];
            for (int i = 0; i < stops.Length; i++)
                stops[i] = Words(random, alphabet, 5);
            (string expected, string? expectedStop) = CutAtFirstStop(text, stops);

            List<string> deltas = Run(Encoding.UTF8.GetBytes(text), random, stops, out string? matched);
            Assert.True(expected == string.Concat(deltas) && expectedStop == matched, $"seed {seed}, round {round}: '{text}' with {string.Join("|", stops)}");
            foreach (string delta in deltas)
                AssertWholeCharacters(delta, $"seed {seed}, round {round}");
        }
    }

    [Fact]
    public void Nothing_is_held_back_longer_than_it_could_become_a_stop_string()
    {
        int seed = 31;
        Random random = new(seed);
        string[] alphabet = ["a", "b", "c"];
        for (int round = 0; round < 2000; round++)
        {
            string[] stops = [Words(random, alphabet, 4), Words(random, alphabet, 6)];
            TokenTextDecoder decoder = new(stops);
            string sent = "", all = "";
            while (decoder.MatchedStop is null && all.Length < 60)
            {
                string token = Words(random, alphabet, 3);
                all += token;
                sent += decoder.Append(Encoding.UTF8.GetBytes(token));
                if (decoder.MatchedStop is not null)
                    break;
                int mustHold = 0;
                foreach (string stop in stops)
                {
                    for (int length = 1; length < stop.Length; length++)
                    {
                        if (all.EndsWith(stop[..length], StringComparison.Ordinal))
                            mustHold = Math.Max(mustHold, length);
                    }
                }
                Assert.True(sent == all[..^mustHold], $"seed {seed}, round {round}: sent '{sent}' of '{all}' with {string.Join("|", stops)}");
            }
        }
    }

    [Fact]
    public void Text_after_a_stop_inside_one_token_is_dropped()
    {
        TokenTextDecoder decoder = new(["STOP"]);
        Assert.Equal("before ", decoder.Append("before STOP after"u8));
        Assert.Equal("STOP", decoder.MatchedStop);
        Assert.Equal("", decoder.Append("more"u8));
        Assert.Equal("", decoder.Finish());
    }

    [Fact]
    public void The_stop_that_is_complete_first_wins_and_the_longest_of_equals()
    {
        TokenTextDecoder first = new(["abcd", "bc"]);
        Assert.Equal("a", first.Append("abcd"u8));
        Assert.Equal("bc", first.MatchedStop);

        TokenTextDecoder longest = new(["c", "bc", "abc"]);
        Assert.Equal("x", longest.Append("xabc"u8));
        Assert.Equal("abc", longest.MatchedStop);
    }

    [Fact]
    public void A_beginning_that_fails_may_be_the_beginning_of_another()
    {
        TokenTextDecoder decoder = new(["aab", "abx"]);
        Assert.Equal("", decoder.Append("a"u8));
        Assert.Equal("", decoder.Append("a"u8));
        Assert.Equal("a", decoder.Append("a"u8));
        Assert.Equal("", decoder.Append("b"u8));
        Assert.Equal("aab", decoder.MatchedStop);
    }

    [Fact]
    public void What_is_held_comes_out_at_the_end_and_an_incomplete_character_as_a_replacement()
    {
        TokenTextDecoder decoder = new(["END"]);
        Assert.Equal("x", decoder.Append("xEN"u8));
        Assert.Equal("", decoder.Append([0xF0, 0x9F]));
        Assert.Equal("EN\uFFFD", decoder.Finish());
        Assert.Equal("", decoder.Finish());
        Assert.Throws<InvalidOperationException>(() => decoder.Append("x"u8));
    }

    [Fact]
    public void A_character_split_over_four_tokens_comes_out_once_and_whole()
    {
        TokenTextDecoder decoder = new([]);
        byte[] bytes = Encoding.UTF8.GetBytes("😀");
        for (int i = 0; i < 3; i++)
            Assert.Equal("", decoder.Append(bytes.AsSpan(i, 1)));
        Assert.Equal("😀", decoder.Append(bytes.AsSpan(3)));
        Assert.Equal("", decoder.Finish());
    }

    [Fact]
    public void A_token_allocates_its_text_and_nothing_else()
    {
        TokenTextDecoder decoder = new(["\n\nUser:", "<|end|>"]);
        for (int i = 0; i < 100; i++)
            decoder.Append(" token"u8);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            decoder.Append(" token"u8);
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 100, 1, 40); // " token" is a string of 40 bytes.
    }

    [Fact]
    public void Unusable_stop_strings_are_refused_with_their_index()
    {
        Assert.Contains("1", Assert.Throws<ArgumentException>(() => new TokenTextDecoder(["a", ""])).Message, StringComparison.Ordinal);
        Assert.Contains("surrogate", Assert.Throws<ArgumentException>(() => new TokenTextDecoder(["a\uD83D"])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new TokenTextDecoder(["\uDE00a"]));
    }

    private static List<string> Run(byte[] bytes, Random random, string[] stops, out string? matched)
    {
        TokenTextDecoder decoder = new(stops);
        List<string> deltas = [];
        for (int at = 0; at < bytes.Length;)
        {
            int length = Math.Min(random.Next(0, 6), bytes.Length - at);
            deltas.Add(decoder.Append(bytes.AsSpan(at, length)));
            at += length;
        }
        deltas.Add(decoder.Finish());
        matched = decoder.MatchedStop;
        return deltas;
    }

    /// <summary>The definition: try every end from the left, and at each the longest stop string.</summary>
    private static (string Text, string? Stop) CutAtFirstStop(string text, string[] stops)
    {
        for (int end = 1; end <= text.Length; end++)
        {
            string? stop = stops.Where(s => text.AsSpan(0, end).EndsWith(s)).MaxBy(s => s.Length);
            if (stop is not null)
                return (text[..(end - stop.Length)], stop);
        }
        return (text, null);
    }

    private static string Words(Random random, string[] alphabet, int most)
    {
        StringBuilder text = new();
        for (int count = random.Next(1, most + 1); count > 0; count--)
            text.Append(alphabet[random.Next(alphabet.Length)]);
        return text.ToString();
    }

    /// <summary>Valid characters of every length, cut characters, stray continuations, overlong forms, surrogates and plain noise.</summary>
    private static byte[] RandomBytes(Random random)
    {
        List<byte> bytes = [];
        for (int count = random.Next(0, 20); count > 0; count--)
        {
            byte[] next = random.Next(6) switch
            {
                0 => [(byte)random.Next(256)],
                1 => [(byte)random.Next(0x80, 0xC0)],
                2 => [0xED, 0xA0, (byte)random.Next(0x80, 0xC0)],
                3 => [0xC0, 0x80],
                4 => Encoding.UTF8.GetBytes("😀日é")[..random.Next(1, 9)],
                _ => Encoding.UTF8.GetBytes(char.ConvertFromUtf32(random.Next(2) == 0 ? random.Next(0x20, 0x800) : random.Next(0xE000, 0x110000))),
            };
            bytes.AddRange(next);
        }
        return [.. bytes];
    }

    private static void AssertWholeCharacters(string delta, string where)
    {
        for (int i = 0; i < delta.Length; i++)
        {
            if (char.IsHighSurrogate(delta[i]))
                Assert.True(++i < delta.Length && char.IsLowSurrogate(delta[i]), $"{where}: a delta ends in half a character");
            else
                Assert.False(char.IsLowSurrogate(delta[i]), $"{where}: a delta begins with half a character");
        }
    }
}
