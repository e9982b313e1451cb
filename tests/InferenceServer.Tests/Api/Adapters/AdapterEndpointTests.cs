using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Llama;
using InferenceServer.Models;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api.Adapters;

/// <summary>Adapters by name, by request and by default, in every dialect; loaded and removed while the server runs.</summary>
public sealed class AdapterEndpointTests(AdapterServer server) : IClassFixture<AdapterServer>
{
    private TestHost Host => server.Host;

    private string Base => server.Model.Id;

    [Fact]
    public async Task They_are_listed_as_models_with_their_parent_wherever_models_are()
    {
        string[] wanted = [Base, $"{Base}:first", $"{Base}:second"];
        JsonElement[] models = [.. (await GetAsync("/v1/models")).GetProperty("data").EnumerateArray()];
        Assert.Equal(wanted, models.Select(model => model.GetProperty("id").GetString()));
        Assert.All(models, model => Assert.Equal(Base, model.GetProperty("root").GetString()));
        Assert.Equal(JsonValueKind.Null, models[0].GetProperty("parent").ValueKind);
        Assert.All(models[1..], model => Assert.Equal(Base, model.GetProperty("parent").GetString()));
        Assert.Equal(Base, (await GetAsync($"/v1/models/{Base}:first")).GetProperty("parent").GetString());
        JsonElement[] tags = [.. (await GetAsync("/api/tags")).GetProperty("models").EnumerateArray()];
        Assert.Equal([$"{Base}:latest", .. wanted[1..]], tags.Select(model => model.GetProperty("name").GetString()));
        Assert.Equal(3, tags.Select(model => model.GetProperty("digest").GetString()).Distinct().Count());
        await Host.PostJsonAsync("/api/show", $$"""{"model":"{{Base}}:second"}""");
        using HttpRequestMessage anthropic = new(HttpMethod.Get, "/v1/models");
        anthropic.Headers.Add("anthropic-version", "2023-06-01");
        using HttpResponseMessage answer = await Host.Client.SendAsync(anthropic);
        Assert.Equal(wanted, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("data").EnumerateArray().Select(model => model.GetProperty("id").GetString()));

        JsonElement[] adapters = [.. (await GetAsync("/lora-adapters")).EnumerateArray()];
        Assert.Equal(["0 first 1.gguf 0 1", "1 second 2.gguf 0 0.5"], adapters.Select(a =>
            $"{a.GetProperty("id")} {a.GetProperty("name")} {a.GetProperty("path")} {a.GetProperty("scale")} {a.GetProperty("own_scale")}"));
        Assert.Contains($"inference_lora_adapters{{model=\"{Base}\"}} 2", await Host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_with_an_adapter_answers_in_every_dialect_and_otherwise_than_its_base()
    {
        string plain = await ChatAsync(Base), adapted = await ChatAsync($"{Base}:first"), other = await ChatAsync($"{Base}:second");
        Assert.Equal(3, new HashSet<string> { plain, adapted, other }.Count);
        Assert.Equal(adapted, await ChatAsync($"{Base}:FIRST:latest"));
        Assert.Equal(adapted, await ChatAsync("first")); // as vLLM's clients name it
        JsonElement ollama = await Host.PostJsonAsync("/api/chat", $$"""{"model":"{{Base}}:first","stream":false,"options":{"temperature":0,"num_predict":24},"messages":[{"role":"user","content":"Hi"}]}""");
        Assert.Equal((adapted, $"{Base}:first"), (ollama.GetProperty("message").GetProperty("content").GetString(), ollama.GetProperty("model").GetString()));
        JsonElement anthropic = await Host.PostJsonAsync("/v1/messages", $$"""{"model":"{{Base}}:first","max_tokens":24,"temperature":0,"messages":[{"role":"user","content":"Hi"}]}""");
        Assert.Equal(adapted, anthropic.GetProperty("content")[0].GetProperty("text").GetString());
        JsonElement response = await Host.PostJsonAsync("/v1/responses", $$"""{"model":"{{Base}}:first","input":"Hi","store":false,"temperature":0,"max_output_tokens":24}""");
        Assert.Equal(adapted, response.GetProperty("output")[0].GetProperty("content")[0].GetProperty("text").GetString());
    }

    [Fact]
    public async Task A_request_mixes_and_scales_them_itself()
    {
        string plain = await ChatAsync(Base), first = await ChatAsync($"{Base}:first"), second = await ChatAsync($"{Base}:second");
        Assert.Equal(first, await ChatAsync(Base, """[{"id":0,"scale":1}]"""));
        Assert.Equal(first, await ChatAsync(Base, """[{"name":"first"}]"""));
        Assert.Equal(second, await ChatAsync(Base, """[{"id":1,"scale":0.5}]"""));
        // What it says replaces what its model's name says.
        Assert.Equal(plain, await ChatAsync($"{Base}:first", "[]"));
        Assert.Equal(plain, await ChatAsync($"{Base}:first", """[{"id":0,"scale":0}]"""));
        string both = await ChatAsync(Base, """[{"id":0,"scale":1},{"id":1,"scale":0.5}]""");
        Assert.DoesNotContain(both, (string[])[plain, first, second]);
        Assert.Equal(both, await ChatAsync(Base, """[{"name":"second","scale":0.5},{"name":"first"}]"""));
        JsonElement completion = await Host.PostJsonAsync("/v1/completions", $$"""{"model":"{{Base}}","prompt":"Hi","max_tokens":24,"temperature":0,"lora":[{"id":0}]}""");
        JsonElement named = await Host.PostJsonAsync("/v1/completions", $$"""{"model":"{{Base}}:first","prompt":"Hi","max_tokens":24,"temperature":0}""");
        Assert.Equal(named.GetProperty("choices")[0].GetProperty("text").GetString(), completion.GetProperty("choices")[0].GetProperty("text").GetString());
    }

    [Theory]
    [InlineData("""[{"id":7}]""", "lora[0].id", "adapter_not_found")]
    [InlineData("""[{"id":0},{"name":"nobody"}]""", "lora[1].name", "adapter_not_found")]
    [InlineData("""[{"id":0},{"name":"first"}]""", "lora[1]", "invalid_value")]
    [InlineData("""[{"id":0,"name":"first"}]""", "lora[0].name", "invalid_value")]
    [InlineData("""[{"scale":1}]""", "lora[0].id", "missing_required_parameter")]
    [InlineData("""[{"id":0,"scale":1e9}]""", "lora[0].scale", "out_of_range")]
    [InlineData("""{"id":0}""", "lora", "invalid_type")]
    public async Task A_choice_that_cannot_be_made_names_its_place(string lora, string place, string code) =>
        await ErrorTests.AssertErrorAsync(await Host.PostAsync("/v1/chat/completions", $$"""{"model":"{{Base}}","messages":[{"role":"user","content":"Hi"}],"lora":{{lora}}}"""), 400, place, code);

    [Fact]
    public async Task Default_scales_count_where_a_request_names_the_model_alone()
    {
        string plain = await ChatAsync(Base), first = await ChatAsync($"{Base}:first"), second = await ChatAsync($"{Base}:second");
        try
        {
            await Host.PostJsonAsync("/lora-adapters", """[{"id":0,"scale":1}]""");
            Assert.Equal((first, second), (await ChatAsync(Base), await ChatAsync($"{Base}:second")));
            Assert.Equal(plain, await ChatAsync(Base, "[]"));
            await ErrorTests.AssertErrorAsync(await Host.PostAsync("/lora-adapters", """[{"id":1,"scale":1},{"id":9,"scale":1}]"""), 400, "[1].id", "adapter_not_found");
            Assert.Equal(first, await ChatAsync(Base));
        }
        finally
        {
            await Host.PostJsonAsync("/lora-adapters", "[]");
        }
        Assert.Equal(plain, await ChatAsync(Base));
    }

    [Fact]
    public async Task One_is_loaded_and_removed_while_the_server_runs()
    {
        string path = server.Write(3).Replace("\\", "\\\\", StringComparison.Ordinal);
        JsonElement loaded = await Host.PostJsonAsync("/v1/load_lora_adapter", $$"""{"lora_name":"third","lora_path":"{{path}}"}""");
        Assert.Equal(($"{Base}:third", Base), (loaded.GetProperty("id").GetString(), loaded.GetProperty("parent").GetString()));
        string third = await ChatAsync($"{Base}:third");
        Assert.NotEqual(await ChatAsync(Base), third);
        await ErrorTests.AssertErrorAsync(await Host.PostAsync("/v1/load_lora_adapter", $$"""{"lora_name":"Third","lora_path":"{{path}}"}"""), 400, "lora_name", "adapter_exists");
        JsonElement removed = await Host.PostJsonAsync("/v1/unload_lora_adapter", """{"lora_name":"third"}""");
        Assert.Equal($"{Base}:third", removed.GetProperty("id").GetString());
        await ErrorTests.AssertErrorAsync(await Host.PostAsync("/v1/chat/completions", $$"""{"model":"{{Base}}:third","messages":[{"role":"user","content":"Hi"}]}"""), 404, "model", "model_not_found");
        await ErrorTests.AssertErrorAsync(await Host.PostAsync("/v1/unload_lora_adapter", """{"lora_name":"third"}"""), 404, "lora_name", "adapter_not_found");
        // Its number is not another's.
        await Host.PostJsonAsync("/v1/load_lora_adapter", $$"""{"lora_name":"third","lora_path":"{{path}}","scale":0.25}""");
        Assert.Equal(["0", "1", "3"], (await GetAsync("/lora-adapters")).EnumerateArray().Select(adapter => adapter.GetProperty("id").GetRawText()));
        await Host.PostJsonAsync("/v1/unload_lora_adapter", """{"lora_name":"third"}""");
    }

    [Fact]
    public async Task A_file_that_cannot_be_used_is_named_and_nothing_is_listed()
    {
        string model = Path.Combine(AppContext.BaseDirectory, "tiny-http-Llama.gguf").Replace("\\", "\\\\", StringComparison.Ordinal);
        foreach ((string path, string reason) in ((string, string)[])[("/nowhere/absent.gguf", "does not exist"), (model, "not an adapter")])
        {
            using HttpResponseMessage answer = await Host.PostAsync("/v1/load_lora_adapter", $$"""{"lora_name":"broken","lora_path":"{{path}}"}""");
            string text = await answer.Content.ReadAsStringAsync();
            Assert.True((int)answer.StatusCode == 400 && text.Contains(reason, StringComparison.Ordinal) && text.Contains("lora_path", StringComparison.Ordinal), text);
        }
        await ErrorTests.AssertErrorAsync(await Host.PostAsync("/v1/load_lora_adapter", """{"lora_name":"a:b","lora_path":"x"}"""), 400, "lora_name", "invalid_value");
        Assert.Equal(2, (await GetAsync("/lora-adapters")).GetArrayLength());
    }

    [Theory]
    [InlineData("/lora-adapters", "[]")]
    [InlineData("/v1/load_lora_adapter", """{"lora_name":"a","lora_path":"/etc/passwd"}""")]
    [InlineData("/v1/unload_lora_adapter", """{"lora_name":"a"}""")]
    public async Task Without_permission_nothing_is_read_or_changed(string path, string body)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        await ErrorTests.AssertErrorAsync(await host.PostAsync(path, body), 403, null, "pull_not_allowed");
        Assert.Equal("[]", await host.Client.GetStringAsync(new Uri("/lora-adapters", UriKind.Relative)));
    }

    [Fact]
    public async Task An_adapter_of_a_model_on_demand_is_there_while_the_model_is()
    {
        ServedAdapters adapters = new(path => Task.FromResult(ScriptedDecoderAdapter(path)));
        await adapters.LoadAsync(new AdapterOptions("own-1", "own.gguf", IsOwn: true));
        await adapters.LoadAsync(new AdapterOptions("sql", "sql.gguf"));
        List<AdapterSet> seen = [];
        ServedModel served = TestHost.Served(new ScriptedEngine
        {
            Script = reply =>
            {
                seen.Add(reply.Request.Adapters);
                return reply.SayAsync("From the second");
            },
        }) with
        { Id = "second", Adapters = adapters };
        await using ModelHost demand = new(new ModelHostOptions { Room = 1000 },
            name => ModelCatalogue.IsNamed("second", name) ? new LoadableModel("second", () => 10, (_, _) => Task.FromResult(new HostedModel(served, null, 10, () => ValueTask.CompletedTask))) : null, new FakeTimeProvider(), NullLogger.Instance);
        await using TestHost host = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: demand);
        await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", Body("second:sql")), 404, "model", "model_not_found");
        await host.PostJsonAsync("/v1/chat/completions", Body("second"));
        JsonElement answer = await host.PostJsonAsync("/v1/chat/completions", Body("second:sql"));
        Assert.Equal("second:sql", answer.GetProperty("model").GetString());
        // Its own counts under its own name, and can be named no other way.
        Assert.Equal([adapters.Default.Key, "sql.gguf*1"], seen.Select(set => set.Key));
        Assert.Equal("own.gguf*1", adapters.Default.Key);
        await ErrorTests.AssertErrorAsync(await host.PostAsync("/v1/chat/completions", Body("second:own-1")), 404, "model", "model_not_found");
    }

    private static EngineAdapter ScriptedDecoderAdapter(string path) => new(new LlamaAdapterFile(path, path, 4, 8, 100), null, _ => { });

    private static string Body(string model) => $$"""{"model":"{{model}}","messages":[{"role":"user","content":"Hi"}]}""";

    private async Task<string> ChatAsync(string model, string? lora = null)
    {
        JsonElement answer = await Host.PostJsonAsync("/v1/chat/completions",
            $$"""{"model":"{{model}}","messages":[{"role":"user","content":"Hi"}],"temperature":0,"max_tokens":24{{(lora is null ? "" : $",\"lora\":{lora}")}}}""");
        return answer.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
    }

    private async Task<JsonElement> GetAsync(string path) => JsonDocument.Parse(await Host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement;
}
