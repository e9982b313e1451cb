using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>Valid bodies to which something happened, sent to routes that keep what they get. Whatever comes is answered or refused in shape, and what was kept can be read again.</summary>
public sealed class ResponseFuzzTests(ITestOutputHelper output)
{
    private const int Seed = 20261125;
    private const int Requests = 1500;

    private static readonly (string Path, string Body)[] Valid =
    [
        ("/v1/responses", """{"model":"scripted","input":"Hi","instructions":"S","metadata":{"a":"b"},"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object","properties":{"x":{"type":"string"}}},"strict":null}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"text":{"format":{"type":"text"}},"include":["reasoning.encrypted_content"],"truncation":"auto","top_p":0.5}"""),
        ("/v1/responses", """{"model":"scripted","input":[{"role":"developer","content":"D"},{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"content":[{"type":"reasoning_text","text":"r"}]},{"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[]}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"o"}]}],"stream":true,"stream_options":{"include_obfuscation":false}}"""),
        ("/v1/responses", """{"model":"scripted","input":"Hi","background":true,"max_output_tokens":20,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"a":{"enum":[1,"b"]}}},"strict":true}}}"""),
        ("/v1/responses", """{"model":"scripted","input":[{"type":"compaction","encrypted_content":"text-1.SGk"},{"type":"item_reference","id":"msg_1"}],"store":false}"""),
        ("/v1/responses/input_tokens", """{"model":"scripted","input":[{"role":"user","content":"Hi"}],"instructions":"S"}"""),
        ("/v1/responses/compact", """{"model":"scripted","input":[{"role":"user","content":"Hi"}]}"""),
        ("/v1/conversations", """{"metadata":{"a":"b"},"items":[{"type":"message","role":"user","content":"Hi"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}"""),
        ("/v1/conversations/conv_1/items", """{"items":[{"role":"user","content":[{"type":"input_text","text":"a"}]}]}"""),
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x","name":"n"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],"store":true,"metadata":{"k":"v"},"logprobs":true,"top_logprobs":1,"n":2}"""),
    ];

    private static readonly string[] Scraps =
    [
        "null", "true", "0", "-1", "2147483648", "1e308", "0.5", "\"\"", "\"x\"", "\"auto\"", "\"\\ud800\"", "\"\\u0000\"", "\"é😀\"", "[]", "{}", "[null]", "[{}]", "{\"type\":\"message\"}",
        "{\"\":1}", "{\"\\ud800\":1}", "[[[]]]", "\"resp_none\"", "\"text-1.\"", "\"text-1.gA\"",
    ];

    [Fact]
    public async Task Damaged_bodies_are_no_fault_of_ours_and_what_was_kept_can_be_read()
    {
        output.WriteLine($"seed {Seed}");
        await using ResponseHost host = await ResponseHost.StartAsync("<think>Hm.</think>", "Hello ", "é");
        await Parallel.ForEachAsync(Enumerable.Range(0, Requests), new ParallelOptions { MaxDegreeOfParallelism = 4 }, async (i, cancellation) =>
        {
            Random random = new(Seed + i);
            (string path, string body) = Valid[i % Valid.Length];
            string damaged = Damage(body, random);
            using StringContent content = new(damaged, Encoding.UTF8, "application/json");
            using HttpResponseMessage answer = await host.Host.Client.PostAsync(new Uri(path, UriKind.Relative), content, cancellation);
            string text = await answer.Content.ReadAsStringAsync(cancellation);
            string sent = string.Create(CultureInfo.InvariantCulture, $"{text}\nfor request {i}: {path} {damaged}");
            Assert.True((int)answer.StatusCode < 500 && !text.Contains("internal_error", StringComparison.Ordinal), sent);
            if (!answer.IsSuccessStatusCode)
                Assert.True(JsonNode.Parse(text)!["error"]!["message"] is not null, sent);
            else if (path is "/v1/responses" && answer.Content.Headers.ContentType!.MediaType == "application/json" && JsonNode.Parse(text)!["store"]!.GetValue<bool>())
            {
                string id = JsonNode.Parse(text)!["id"]!.GetValue<string>();
                await host.GetAsync($"{ResponseHost.Path}/{id}", "Response");
                await host.GetAsync($"{ResponseHost.Path}/{id}/input_items?limit=100", "ResponseItemList");
            }
        });
        Assert.Equal("completed", (await host.CreateAsync("\"input\":\"Hi\"")).GetProperty("status").GetString());
    }

    /// <summary>Replaces, removes or doubles up to three nodes.</summary>
    private static string Damage(string body, Random random)
    {
        for (int times = random.Next(4); times > 0; times--)
        {
            JsonNode root = JsonNode.Parse(body)!;
            List<string> places = [.. Places(root, "")];
            if (places.Count == 0)
                break;
            // A mark first, then the scrap in its place: no node can hold what is no valid text.
            string mark = $"\"{Guid.NewGuid():N}\"";
            Replace(root, places[random.Next(places.Count)].Split('\n')[1..], mark.Trim('"'), random.Next(6) == 0);
            body = root.ToJsonString().Replace(mark, Scraps[random.Next(Scraps.Length)], StringComparison.Ordinal);
            if (body.Contains("\\ud800", StringComparison.OrdinalIgnoreCase))
                break;
        }

        return body;
    }

    private static IEnumerable<string> Places(JsonNode? node, string path) => node switch
    {
        JsonObject map => map.SelectMany(pair => Places(pair.Value, $"{path}\n{pair.Key}").Prepend($"{path}\n{pair.Key}")),
        JsonArray list => list.SelectMany((item, index) => Places(item, $"{path}\n{index}").Prepend($"{path}\n{index}")),
        _ => [],
    };

    private static void Replace(JsonNode root, string[] path, string mark, bool remove)
    {
        JsonNode parent = root;
        foreach (string step in path[..^1])
            parent = parent is JsonArray list ? list[int.Parse(step, CultureInfo.InvariantCulture)]! : parent[step]!;
        if (parent is JsonArray items)
        {
            int index = int.Parse(path[^1], CultureInfo.InvariantCulture);
            if (remove)
                items.Add(items[index]?.DeepClone());
            else
                items[index] = mark;
        }
        else if (remove)
            ((JsonObject)parent).Remove(path[^1]);
        else
            parent[path[^1]] = mark;
    }
}
