using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;
using InferenceServer.Tests.Library;
using InferenceServer.Tests.Llama;
using InferenceServer.Tests.Store;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Models;

/// <summary>
/// The real server with several models, under clients that do not pause: nobody's request is lost while a model is fetched, loaded and takes another's place, and a kill
/// at any of these moments leaves a library and a server that work. HELD_LOAD_MODEL=PATH, with the benchmarks' qwen2 of 100M parameters, takes real sizes.
/// </summary>
[Collection(nameof(RunsAlone))]
public sealed partial class HeldLoadTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const string Pulled = "hf:maker/Third-GGUF:Q8_0", Third = "maker/Third-GGUF:Q8_0";
    private const int Cells = 1024;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("held-");
    private StandInHub _hub = null!;
    private string _main = "", _adapter = "";
    private long _room;

    private string LibraryFolder => Path.Combine(_folder.FullName, "library");

    private string ServerJson => Path.Combine(_folder.FullName, "server.json");

    public async Task InitializeAsync()
    {
        _hub = await StandInHub.StartAsync();
        string? real = Environment.GetEnvironmentVariable("HELD_LOAD_MODEL") is { Length: > 0 } path ? path : null;
        _main = real ?? Write("main.gguf", seed: 1);
        string second = real is null ? Write("second.gguf", seed: 2) : Renamed("second.gguf", real);
        string third = real is null ? Write("third.gguf", seed: 3) : Renamed("third.gguf", real);
        GgufFile header = GgufReader.Read(_main);
        _adapter = Path.Combine(_folder.FullName, "calm.gguf");
        TinyAdapter.Write(_adapter, [.. header.Tensors.Where(tensor => tensor.Name.EndsWith("attn_q.weight", StringComparison.Ordinal)).Select(tensor => (tensor.Name, tensor.Shape[0], tensor.Shape[1]))], architecture: header.Architecture,
            metadata: writer => writer.Add("adapter.lora.alpha", 8f));
        using (ModelLibrary library = ModelLibrary.Open(new LibraryOptions { Folder = LibraryFolder }))
            await library.ImportAsync(second, "second");
        _hub.Add("maker/Third-GGUF", "third-Q8_0.gguf", await File.ReadAllBytesAsync(third));
        // One of them fits beside the model of the start, and two do not.
        _room = (long)(1.7 * ((new FileInfo(_main).Length * 1.1) + (Cells * LlamaModel.KvBytesPerToken(header, KvType.F16, KvType.F16))));
    }

    public async Task DisposeAsync()
    {
        await _hub.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Two_models_and_an_adapter_lose_no_request_while_a_third_is_pulled_loaded_and_evicts_one()
    {
        string[] names = ["main", "main:calm", "second"];
        int[] served = new int[names.Length];
        List<string> lost = [];
        bool stopping = false;
        await using ServerProcess server = await StartAsync();
        Task[] clients = [.. Enumerable.Range(0, 2 * names.Length).Select(async i =>
        {
            int model = i % names.Length;
            for (int turn = 0; !Volatile.Read(ref stopping); turn++)
                if (await AskAsync(server, names[model], stream: turn % 2 == 0, $"client {i}, turn {turn}") is { } failure)
                    lock (lost)
                        lost.Add($"{names[model]}: {failure}");
                else
                    Interlocked.Increment(ref served[model]);
        })];
        await Eventually.HoldsAsync(() => served.All(count => count >= 3));
        await server.PostAsync("/api/pull", $$"""{"model":"{{Pulled}}","stream":false}""");
        Assert.Null(await AskAsync(server, Third, stream: true, "the third"));
        int[] before = [.. served];
        Assert.Null(await AskAsync(server, Third, stream: false, "the third again"));
        await Eventually.HoldsAsync(() => Enumerable.Range(0, names.Length).All(i => Volatile.Read(ref served[i]) >= before[i] + 3) || lost.Count > 0);
        Volatile.Write(ref stopping, true);
        await Task.WhenAll(clients);
        output.WriteLine($"served {string.Join(", ", names.Zip(served, (name, count) => $"{name} {count}"))}; loads {await MetricAsync(server, "inference_model_loads_total")}, unloads {await MetricAsync(server, "inference_model_unloads_total")}");
        Assert.True(lost.Count == 0, string.Join('\n', lost.Take(5)));
        Assert.True(await MetricAsync(server, "inference_model_unloads_total") >= 1, "nothing made room");
    }

    [Fact]
    public async Task A_server_killed_while_it_pulls_loads_evicts_or_reads_its_file_anew_comes_back_whole()
    {
        const int Seed = 18;
        output.WriteLine($"seed {Seed}");
        Random random = new(Seed);
        for (int round = 0; round < 2; round++)
        {
            await using ServerProcess server = await StartAsync();
            Task[] all =
            [
                Quietly(server.PostAsync("/api/pull", $$"""{"model":"{{Pulled}}","stream":false}""")),
                Quietly(AskAsync(server, "second", stream: true, "before the kill")),
                Quietly(AskAsync(server, Third, stream: true, "before the kill")),
                Quietly(File.WriteAllTextAsync(ServerJson, Configuration(round + 1))),
            ];
            await Task.WhenAny(Task.WhenAll(all), Task.Delay(random.Next(20, 400)));
            await server.KillAsync();
            await Task.WhenAll(all);
        }
        using (ModelLibrary library = ModelLibrary.Open(new LibraryOptions { Folder = LibraryFolder }))
            Assert.All(await library.VerifyAsync(), check => Assert.Null(check.Problem));
        await File.WriteAllTextAsync(ServerJson, Configuration(0));
        await using ServerProcess again = await StartAsync();
        await again.PostAsync("/api/pull", $$"""{"model":"{{Pulled}}","stream":false}""");
        foreach (string name in (string[])["main", "main:calm", "second", Third, "main"])
            Assert.Null(await AskAsync(again, name, stream: false, "after the kills"));

        static Task Quietly(Task task) => task.ContinueWith(static _ => { }, TaskScheduler.Default);
    }

    private string Write(string name, int seed)
    {
        string path = Path.Combine(_folder.FullName, name);
        TinyModel.Write(path, seed: seed);
        return path;
    }

    /// <summary>The same weights under another hash.</summary>
    private string Renamed(string name, string model)
    {
        byte[] bytes = File.ReadAllBytes(model);
        int at = bytes.AsSpan().IndexOf("Benchmark random"u8);
        Encoding.UTF8.GetBytes(name.PadRight(16)[..16]).CopyTo(bytes, at);
        string path = Path.Combine(_folder.FullName, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private string Configuration(int variant) => $$"""
        {
          "options": { "models-dir": "./library", "hub-endpoint": "{{_hub.Address.AbsoluteUri.TrimEnd('/')}}", "allow-pull": true, "model-memory": "{{_room}}", "data-dir": "off" },
          "models": { "main": { "model": {{JsonSerializer.Serialize(_main)}}, "options": { "lora": [{{JsonSerializer.Serialize($"calm={_adapter}")}}] }, "system": "Variant {{variant}}." } }
        }
        """;

    private async Task<ServerProcess> StartAsync()
    {
        if (!File.Exists(ServerJson))
            await File.WriteAllTextAsync(ServerJson, Configuration(0));
        return await ServerProcess.StartAsync(_folder.FullName, "--model", "main", "--ctx-size", Cells.ToString(CultureInfo.InvariantCulture), "--max-sequences", "4");
    }

    /// <summary>Null for a whole reply; else what came instead.</summary>
    private static async Task<string?> AskAsync(ServerProcess server, string model, bool stream, string text)
    {
        using StringContent body = new($$"""{"model":"{{model}}","prompt":"{{text}}","max_tokens":12,"ignore_eos":true,"stream":{{(stream ? "true" : "false")}}}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await server.Client.PostAsync(new Uri("/v1/completions", UriKind.Relative), body);
        string said = await answer.Content.ReadAsStringAsync();
        bool isWhole = answer.StatusCode == HttpStatusCode.OK && said.Contains("\"finish_reason\":\"length\"", StringComparison.Ordinal) && (!stream || said.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal));
        return isWhole ? null : $"{(int)answer.StatusCode} {said}";
    }

    private static async Task<double> MetricAsync(ServerProcess server, string name)
    {
        string text = await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        return Sample().Matches(text).Where(match => match.Groups[1].Value == name).Sum(match => double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"^(\w+)(?:\{[^}]*\})? (\S+)$", RegexOptions.Multiline)]
    private static partial Regex Sample();
}
