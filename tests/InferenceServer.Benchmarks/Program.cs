using System.CommandLine;
using InferenceServer.Benchmarks;
using InferenceServer.Llama;

if (BackendTrial.Answer(args) is { } tried)
    return tried;
if (await ClientProcess.AnswerAsync(args) is { } answered)
    return answered;

Option<string?> model = new("--model") { Description = "A GGUF file; by default a random model of 100M parameters is made once." };
Option<string[]> only = new("--only") { Description = $"Works to run: {string.Join(", ", Works.All.Select(work => work.Name))}. Default: all.", AllowMultipleArgumentsPerToken = true };
Option<bool> split = new("--split") { Description = "A KV stream a sequence (kv_unified off) instead of one shared pool." };
Option<KvType> kvType = new("--kv-type") { Description = "How the KV pool is stored.", DefaultValueFactory = _ => KvType.F16 };
Option<LlamaBackend> backend = new("--backend") { Description = "What computes.", DefaultValueFactory = _ => LlamaBackend.Auto };
Option<NativeSource[]> natives = new("--natives") { Description = "Which packages' llama.cpp: NuGet, Npm, or both, each work with one after the other.", AllowMultipleArgumentsPerToken = true };
Option<int> streams = new("--streams") { Description = "Streams of the works sixteen and sampled.", DefaultValueFactory = _ => 16 };
Option<int> pairs = new("--pairs") { Description = "Raw and served runs in turn, this often.", DefaultValueFactory = _ => 5 };
Option<int> requests = new("--requests") { Description = "Requests of the memory work.", DefaultValueFactory = _ => 10_000 };
Option<string?> json = new("--json") { Description = "Write the results there, too." };
RootCommand root = new("Measures the server against a bare llama_decode loop in the same process. Run it on a quiet machine.") { model, only, split, kvType, backend, natives, streams, pairs, requests, json };
root.SetAction(async parsed =>
{
    NativeSource[] sources = parsed.GetValue(natives) ?? [];
    string[] wanted = parsed.GetValue(only) is { Length: > 0 } some ? some : [.. Works.All.Select(work => work.Name)];
    if (sources.Length > 1)
    {
        Report.Print(await NativesInTurn.RunAsync(args, wanted, sources));
        return 0;
    }
    BenchmarkOptions options = new(
        parsed.GetValue(model), parsed.GetValue(backend), sources.Length == 1 ? sources[0] : null, !parsed.GetValue(split), parsed.GetValue(kvType), parsed.GetValue(streams), parsed.GetValue(pairs), parsed.GetValue(requests));
    using BenchmarkSetup setup = BenchmarkSetup.Load(options);
    List<BenchmarkRow> rows = [];
    foreach ((string name, Func<BenchmarkSetup, Task<BenchmarkRow[]>> run) in Works.All)
    {
        if (!wanted.Contains(name))
            continue;
        Console.Error.WriteLine($"{name} ...");
        foreach (BenchmarkRow row in await run(setup))
        {
            rows.Add(row);
            Console.Error.WriteLine($"  {row.Measured}");
        }
    }
    Report.Print(rows);
    if (parsed.GetValue(json) is { } path)
        Report.Write(rows, path);
    return 0;
});
return await root.Parse(args).InvokeAsync();
