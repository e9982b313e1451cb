using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Tests.Store;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Api;

/// <summary>
/// Bodies that were valid before something happened to them, sent to every route there is. Whatever comes, the answer is shaped, nothing is a fault of
/// ours, nothing hangs, and the server goes on. A route is found by itself; a new one may add a body of its own below.
/// </summary>
public sealed class BodyFuzzTests(ITestOutputHelper output)
{
    private const int Seed = 20261125;
    private const int Requests = 5000;
    private const int AtOnce = 6;

    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(20);

    // By the beginning of a route; a route without one gets any.
    private static readonly (string Route, string Body)[] Valid =
    [
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi \u00e9 \ud83d\ude00"}],"stop":["a"],"temperature":0.5,"top_p":0.9,"n":2,"seed":7,"stream":true,"stream_options":{"include_usage":true},"timing":true,"user":"u"}"""),
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}],"tool_choice":"auto","logit_bias":{"5":1.5},"logprobs":true,"top_logprobs":3,"metadata":{"k":"v"}}"""),
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"max_tokens":4,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"enum":[1,"b",null]},"c":{"type":"array","items":{"type":"integer"},"maxItems":3}},"required":["a"],"additionalProperties":false}}},"prediction":{"type":"content","content":"x"},"chat_template_kwargs":{"enable_thinking":false}}"""),
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"max_tokens":4,"grammar":"root ::= \"a\" | [b-d]{1,3}"}"""),
        ("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"max_tokens":4,"structured_outputs":{"regex":"(a|b)+c{2,5}"},"cache_salt":"s","prompt_cache_key":"k"}"""),
        ("/v1/completions", """{"model":"scripted","prompt":["x","y"],"max_tokens":4,"logprobs":2,"echo":true,"best_of":3,"n":2,"suffix":"","presence_penalty":1}"""),
        ("/v1/completions", """{"model":"scripted","prompt":[[65,66],[67]],"max_tokens":4,"stream":true,"choice":["a","b"]}"""),
        ("/tokenize", """{"content":"Hi <|im_start|>","add_special":true,"with_pieces":true}"""),
        ("/detokenize", """{"tokens":[72,105,256]}"""),
        ("/v1/responses", """{"model":"scripted","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}],"instructions":"Be brief.","max_output_tokens":20,"store":false,"text":{"format":{"type":"text"}},"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"metadata":{"a":"b"},"stream":true}"""),
        ("/v1/responses", """{"model":"scripted","input":"Hi","truncation":"auto","temperature":0.3,"reasoning":{"effort":"low"},"include":[]}"""),
        ("/v1/conversations", """{"metadata":{"a":"b"},"items":[{"type":"message","role":"user","content":"Hi"}]}"""),
        ("/v1/responses", """{"model":"scripted","input":[{"type":"item_reference","id":"$ITEM"},{"role":"user","content":"x"}],"previous_response_id":"$RESPONSE","background":true,"metadata":{"k":"v"}}"""),
        ("/v1/responses", """{"model":"scripted","input":"Hi","conversation":{"id":"$CONVERSATION"},"store":false,"max_output_tokens":4}"""),
        ("/v1/responses", """{"model":"scripted","input":"Hi","conversation":"$CONVERSATION","stream":true}"""),
        ("/v1/embeddings", """{"model":"scripted","input":["a","b"],"encoding_format":"base64","dimensions":8}"""),
        ("/v1/rerank", """{"model":"scripted","query":"q","documents":["a","b"],"top_n":1}"""),
        ("/v1/moderations", """{"model":"scripted","input":["a",{"type":"text","text":"b"}]}"""),
        ("/v1/messages", """{"model":"scripted","max_tokens":16,"system":[{"type":"text","text":"Be brief."}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"stop_sequences":["a"],"stream":true}"""),
        ("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"stream":false,"options":{"temperature":0.1,"num_predict":4},"format":"json","tools":[]}"""),
        ("/api/generate", """{"model":"scripted","prompt":"Hi","stream":true,"options":{"seed":1,"stop":["a"]},"raw":true}"""),
        ("/api/embed", """{"model":"scripted","input":["a"]}"""),
        ("/api/show", """{"model":"scripted"}"""),
    ];

    private static readonly string[] Scraps =
    [
        "null", "true", "false", "0", "-1", "1", "2147483648", "-9223372036854775808", "99999999999999999999999", "0.5", "1e308", "1e999", "-0.0", "\"\"", "\"x\"", "\"auto\"",
        "\"\\ud800\"", "\"\\u0000\"", "\"scripted\"", "[]", "{}", "[null]", "[[]]", "[{}]", "{\"type\":\"text\"}", "{\"type\":\"object\"}", "{\"\":1}", "[1,\"a\",{}]",
        "\"<|im_end|><|im_start|>system\"", "\"https://user:pw@h/../%00\"", "\"" + new string('x', 5000) + "\"", new string('[', 60) + new string(']', 60), "\"\\\"}]\"",
        "\"$RESPONSE\"", "\"$CONVERSATION\"", "{\"id\":\"$CONVERSATION\"}", "[{\"type\":\"item_reference\",\"id\":\"$ITEM\"}]", "\"$COMPLETION\"",
    ];

    // The second half of each is for those who delete.
    private const int Kept = 8;

    private int _found;

    /// <summary>Ids of things that are stored, so that what names them goes past the look-up; a place holder in a body or a scrap stands for one of them.</summary>
    private sealed record Existing(List<string> Responses, List<string> Conversations, List<string> Items, List<string> Completions)
    {
        public string Named(string text, Random random)
        {
            foreach ((string holder, List<string> ids) in ((string, List<string>)[])[("$RESPONSE", Responses), ("$CONVERSATION", Conversations), ("$ITEM", Items), ("$COMPLETION", Completions)])
                if (text.Contains(holder, StringComparison.Ordinal))
                    text = text.Replace(holder, ids[random.Next(Kept)], StringComparison.Ordinal);
            return text;
        }

        public bool IsIn(string text) => Responses.Concat(Conversations).Concat(Items).Concat(Completions).Any(id => text.Contains(id, StringComparison.Ordinal));
    }

    private static readonly string[] Names =
        ["model", "messages", "type", "content", "role", "stream", "n", "tools", "input", "store", "background", "previous_response_id", "conversation", "seed", "stop", "metadata", "$ref", "__proto__", "", "é"];

    [Fact]
    public async Task Five_thousand_damaged_bodies_over_all_routes_are_each_answered_and_none_is_a_fault_of_ours()
    {
        output.WriteLine($"seed {Seed}");
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: kept.Store);
        Existing existing = await StoreAsync(host);
        (string Method, string Pattern)[] routes = [.. Routes(host)];
        Assert.True(routes.Length > 12, string.Join(' ', routes));

        await Parallel.ForEachAsync(Enumerable.Range(0, Requests), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (i, _) =>
        {
            Random random = new(Seed + i);
            (string method, string pattern) = routes[i % routes.Length];
            await SendAsync(host, existing, random, method, pattern, i);
        });
        output.WriteLine($"{_found} of those that named something by its id were answered with it");
        // Past the look-up is where this is to go: ids that exist are sent, and found.
        Assert.True(_found > Requests / 100, $"{_found}");

        Assert.NotEqual(0, (await host.PostJsonAsync("/v1/chat/completions", Valid[1].Body)).GetProperty("choices").GetArrayLength());
        using HttpResponseMessage ready = await host.Client.GetAsync(new Uri("/health/live", UriKind.Relative));
        Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
    }

    private static async Task<Existing> StoreAsync(TestHost host)
    {
        Existing existing = new([], [], [], []);
        for (int i = 0; i < 2 * Kept; i++)
        {
            string conversation = Id(await host.PostJsonAsync("/v1/conversations", """{"items":[{"role":"user","content":"Hi"}]}"""));
            using JsonDocument items = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri($"/v1/conversations/{conversation}/items", UriKind.Relative)));
            existing.Conversations.Add(conversation);
            existing.Items.Add(Id(items.RootElement.GetProperty("data")[0]));
            existing.Responses.Add(Id(await host.PostJsonAsync("/v1/responses", """{"model":"scripted","input":"Hi"}""")));
            existing.Completions.Add(Id(await host.PostJsonAsync("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"store":true}""")));
        }

        return existing;

        static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;
    }

    private async Task SendAsync(TestHost host, Existing existing, Random random, string method, string pattern, int i)
    {
        string path = Fill(pattern, method, existing, random);
        byte[] body = method is "GET" or "DELETE" ? [] : Encoding.Latin1.GetBytes(existing.Named(Encoding.Latin1.GetString(Damage(random, Pick(random, pattern))), random));
        using HttpRequestMessage request = new(new HttpMethod(method), path);
        if (body.Length > 0)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.TryAddWithoutValidation("content-type", random.Next(40) == 0 ? "text/plain" : "application/json");
        }

        AddHeaders(request, random);
        string sent = $"seed {Seed}, request {i}: {method} {path} {string.Join(' ', request.Headers.Select(header => $"{header.Key}={string.Join(',', header.Value)}"))} {Encoding.Latin1.GetString(body)}";
        using CancellationTokenSource limit = new(AnswerLimit);
        try
        {
            using HttpResponseMessage answer = await host.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            string text = await answer.Content.ReadAsStringAsync(limit.Token);
            Assert.True((int)answer.StatusCode is < 500 or 501 && !text.Contains("internal_error", StringComparison.Ordinal), $"{(int)answer.StatusCode} {text} for {sent}");
            if (answer.IsSuccessStatusCode && existing.IsIn(sent))
                Interlocked.Increment(ref _found);
            if ((int)answer.StatusCode >= 400)
                Assert.True(JsonNode.Parse(text)!["error"] is not null, $"{text} for {sent}");
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"no end of an answer within {AnswerLimit.TotalSeconds} s: {sent}");
        }
    }

    /// <summary>Everything that is mapped, but for pages and what stands still.</summary>
    private static IEnumerable<(string Method, string Pattern)> Routes(TestHost host) =>
        host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(route => route.RoutePattern.RawText is { } text && !text.StartsWith("/docs", StringComparison.Ordinal) && !text.StartsWith("/openapi", StringComparison.Ordinal))
            .SelectMany(route => (route.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? []).Where(method => method != "HEAD").Select(method => (method, route.RoutePattern.RawText!)))
            // Bodies are where the danger is.
            .SelectMany(route => Enumerable.Repeat(route, route.method == "POST" ? 8 : 1));

    private static string Pick(Random random, string pattern)
    {
        string[] own = [.. Valid.Where(valid => pattern.StartsWith(valid.Route, StringComparison.Ordinal)).Select(valid => valid.Body)];
        return own.Length > 0 && random.Next(20) > 0 ? own[random.Next(own.Length)] : Valid[random.Next(Valid.Length)].Body;
    }

    private static string Fill(string pattern, string method, Existing existing, Random random)
    {
        StringBuilder path = new();
        bool exists = random.Next(2) == 0;
        int which = random.Next(Kept) + (method == "DELETE" ? Kept : 0);
        foreach (string part in pattern.Split('/').Skip(1))
        {
            List<string>? ids = !exists ? null : part == "{item}" ? existing.Items : part != "{id}" ? null
                : pattern.StartsWith("/v1/responses", StringComparison.Ordinal) ? existing.Responses
                : pattern.StartsWith("/v1/conversations", StringComparison.Ordinal) ? existing.Conversations
                : pattern.StartsWith("/v1/chat/completions", StringComparison.Ordinal) ? existing.Completions : null;
            path.Append('/').Append(ids is not null ? ids[which] : part.StartsWith('{') ? Uri.EscapeDataString(Ids(random)) : part);
        }

        if (random.Next(8) == 0)
            path.Append(CultureInfo.InvariantCulture, $"?limit={Ids(random)}&after={Uri.EscapeDataString(Ids(random))}&order={Ids(random)}");
        return path.ToString();
    }

    private static string Ids(Random random) => random.Next(6) switch
    {
        0 => "scripted",
        1 => "-1",
        2 => new string('x', 600),
        3 => "a/b%\"é",
        4 => $"resp_{random.Next()}",
        _ => "nobody",
    };

    private static void AddHeaders(HttpRequestMessage request, Random random)
    {
        foreach (string name in (string[])["Idempotency-Key", "Last-Event-ID", "X-Disconnect-Grace-Ms", "X-Session-Id", "X-Request-Timeout-Ms", "traceparent", "anthropic-version", "X-Cache-Salt"])
            if (random.Next(25) == 0)
                request.Headers.TryAddWithoutValidation(name, random.Next(4) switch
                {
                    0 => "x.1",
                    1 => "5000",
                    2 => new string('k', random.Next(1, 700)),
                    _ => $"k{random.Next(50)}",
                });
    }

    /// <summary>One to four accidents: to the tree, so that what comes after parsing is reached, or to the bytes.</summary>
    private static byte[] Damage(Random random, string body)
    {
        string text = body;
        JsonNode tree = JsonNode.Parse(body)!;
        for (int accidents = random.Next(1, 5); accidents > 0; accidents--)
            Change(random, tree);
        text = random.Next(3) == 0 ? Splice(random, tree.ToJsonString()) : tree.ToJsonString();
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (random.Next(6) == 0 && bytes.Length > 0)
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        return random.Next(40) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
    }

    private static void Change(Random random, JsonNode root)
    {
        List<JsonNode> containers = [root, .. Inside(root)];
        JsonNode at = containers[random.Next(containers.Count)];
        JsonNode? scrap = Scrap(random);
        if (at is JsonArray array)
        {
            if (array.Count == 0 || random.Next(3) == 0)
                array.Insert(random.Next(array.Count + 1), scrap);
            else if (random.Next(2) == 0)
                array.RemoveAt(random.Next(array.Count));
            else
                array[random.Next(array.Count)] = scrap;
            return;
        }

        JsonObject members = at.AsObject();
        string[] names = [.. members.Select(member => member.Key)];
        string name = names.Length == 0 || random.Next(4) == 0 ? Names[random.Next(Names.Length)] : names[random.Next(names.Length)];
        if (random.Next(5) == 0)
            members.Remove(name);
        else if (random.Next(6) == 0 && members.TryGetPropertyValue(name, out JsonNode? value))
            members[name] = new JsonArray(value?.DeepClone(), value?.DeepClone());
        else
            members[name] = scrap;
    }

    private static IEnumerable<JsonNode> Inside(JsonNode node)
    {
        IEnumerable<JsonNode?> children = node is JsonArray array ? array : node is JsonObject members ? members.Select(member => member.Value) : [];
        foreach (JsonNode child in children.OfType<JsonNode>().Where(child => child is JsonArray or JsonObject))
        {
            yield return child;
            foreach (JsonNode deeper in Inside(child))
                yield return deeper;
        }
    }

    /// <summary>Those that no tree can hold are spliced into the text.</summary>
    private static JsonNode? Scrap(Random random)
    {
        string scrap = Scraps[random.Next(Scraps.Length)];
        return scrap.Contains("ud800", StringComparison.Ordinal) || scrap == "1e999" ? JsonValue.Create("?") : JsonNode.Parse(scrap);
    }

    /// <summary>Puts a scrap where a value or a name begins.</summary>
    private static string Splice(Random random, string text)
    {
        int colon = text.IndexOf(':', random.Next(text.Length));
        return colon < 0 ? text : $"{text[..(colon + 1)]}{Scraps[random.Next(Scraps.Length)]}{(random.Next(2) == 0 ? "," : ",\"x\":")}{text[(colon + 1)..]}";
    }
}
