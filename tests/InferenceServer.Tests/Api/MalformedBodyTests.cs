using System.Net;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Tests.Api;

public sealed class MalformedBodyTests
{
    private const int Seed = 20261122;

    private static readonly string[] Valid =
    [
        """{"model":"scripted","messages":[{"role":"user","content":"Hi \u00e9 \ud83d\ude00"}],"stop":["a"],"temperature":0.5,"n":2,"seed":7,"stream":false}""",
        """{"model":"scripted","messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],"logit_bias":{"5":1.5},"logprobs":true,"top_logprobs":3}""",
    ];

    // Each makes of a valid body one that no reading of the protocol allows.
    private static readonly Func<Random, byte[], byte[]>[] Breakages =
    [
        (random, body) => body[..random.Next(0, body.Length)],
        (random, body) => Insert(body, random.Next(1, body.Length), "\0"u8),
        (_, body) => [.. body, .. "}"u8],
        (_, body) => [.. "["u8, .. body],
        (random, body) => Replace(body, "\"model\":\"scripted\"", Pick(random, "\"model\":[\"scripted\"]", "\"model\":{}", "\"model\":1e400", "\"model\":false", "\"modl\":\"scripted\"", "\"model\":\"\\ud83d\"")),
        (random, body) => Replace(body, "\"role\":\"user\"", Pick(random, "\"role\":\"uesr\"", "\"role\":7", "\"role\":null", "\"role\":[]", "\"roll\":\"user\"")),
        (random, body) => Replace(body, "\"model\"", Pick(random, "\"model\":\"scripted\",\"model\"", "\"mod\\u0065l\":1,\"model\"")),
        (random, body) => Replace(body, "{\"model\"", $"{{\"deep\":{new string('[', random.Next(65, 5000))},\"model\""),
        (random, body) => Replace(body, "{\"model\"", $"{{\"n\":{Pick(random, "1e999", "-1", "129", "0.5", "\"2\"", "[]", "99999999999999999999999999")},\"model\"", "\"n\":2"),
        (random, body) => Replace(body, "{\"model\"", $"{{\"top_p\":{Pick(random, "1.01", "-0.0001", "\"1\"", "{}", "true", "1e400")},\"model\""),
        (random, body) => Replace(body, "{\"model\"", $"{{\"max_tokens\":{Pick(random, "-2", "2147483648", "1.5", "\"\"", "{}")},\"model\""),
        (random, body) => Replace(body, "{\"model\"", $"{{\"tools\":{Pick(random, "{}", "[{}]", "7", "\"x\"")},\"model\""),
        (random, body) => Replace(body, "{\"model\"", $"{{\"response_format\":{Pick(random, "{}", "[]", "{\"type\":\"json\"}", "{\"type\":\"json_schema\"}", "\"text\"")},\"model\""),
        (random, body) => Insert(body, random.Next(1, 10), [(byte)random.Next(0x80, 0x100)]),
    ];

    [Fact]
    public async Task Two_hundred_broken_bodies_are_each_answered_with_a_shaped_4xx()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        Random random = new(Seed);

        for (int i = 0; i < 200; i++)
        {
            byte[] body = Breakages[i % Breakages.Length](random, Encoding.UTF8.GetBytes(Valid[random.Next(Valid.Length)]));
            using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", body);
            string text = await answer.Content.ReadAsStringAsync();
            Assert.True((int)answer.StatusCode is >= 400 and < 500, $"seed {Seed}, body {i}: {(int)answer.StatusCode} {text} for {Encoding.Latin1.GetString(body)}");
            Assert.Equal(4, JsonDocument.Parse(text).RootElement.GetProperty("error").EnumerateObject().Count());
        }

        Assert.Empty(engine.Submitted);
    }

    [Fact]
    public async Task Bytes_changed_at_random_never_make_a_500_or_a_hang()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        Random random = new(Seed);

        for (int i = 0; i < 1000; i++)
        {
            byte[] body = Encoding.UTF8.GetBytes(Valid[random.Next(Valid.Length)]);
            for (int changes = random.Next(1, 4); changes > 0; changes--)
                body[random.Next(body.Length)] = (byte)random.Next(256);
            using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", body);
            Assert.True(answer.StatusCode < HttpStatusCode.InternalServerError,
                $"seed {Seed}, body {i}: {(int)answer.StatusCode} for {Encoding.Latin1.GetString(body)}");
        }
    }

    private static string Pick(Random random, params string[] choices) => choices[random.Next(choices.Length)];

    private static byte[] Insert(byte[] body, int at, ReadOnlySpan<byte> bytes) => [.. body[..at], .. bytes, .. body[at..]];

    private static byte[] Replace(byte[] body, string old, string with, string? drop = null)
    {
        string text = Encoding.UTF8.GetString(body);
        if (drop is not null)
            text = text.Replace(drop, "\"x\":2", StringComparison.Ordinal);
        int at = text.IndexOf(old, StringComparison.Ordinal);
        Assert.True(at >= 0);
        return Encoding.UTF8.GetBytes(text[..at] + with + text[(at + old.Length)..]);
    }
}
