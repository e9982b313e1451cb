// The command line: one command a stage, all over one run folder. Every stage reads one JSON config, defaults to the
// one of its name in configs/, and resumes by itself where its folder already holds a checkpoint.
using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json;
using InferenceServer.Llama.Gguf;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Export;
using InferenceServer.Training.Model;
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Stages;

public static class Commands
{
    private static readonly Option<DirectoryInfo> Run = new("--run") { Description = "Folder of this training run: tokenizer, checkpoints, logs, plots.", Required = true };
    private static readonly Option<FileInfo?> Config = new("--config") { Description = "The stage's JSON; by default the shipped one of the stage's name." };
    private static readonly Option<FileInfo?> Feedback = new("--feedback") { Description = "What users thought of replies, from the server's /v1/feedback/export: format sft for sft and lora, dpo or reward for reward." };
    private static readonly Option<string?> From = new("--from") { Description = "Stage or checkpoint file whose weights to start from or use." };

    public static RootCommand Build()
    {
        var root = new RootCommand("Trains the small chat model: tokenizer, pretrain, sft, compare, reward, ppo, lora, eval, export.");
        root.Subcommands.Add(Stage("data", "Print samples of the corpus.", (run, config, from, stop) => DataStage.Print(DataFolder, config)));
        root.Subcommands.Add(Stage("tokenizer", "Train the byte-level BPE tokenizer.", (run, config, from, stop) => DataStage.TrainTokenizer(DataFolder, config, TokenizerPath(run))));
        root.Subcommands.Add(Stage("pretrain", "Learn text and dialogues from scratch.", (run, config, from, stop) =>
            LanguageStage.Run(config, DataFolder, Tokenizer(run), Path.Combine(run, "pretrain"), from, TimeProvider.System, stop)));
        root.Subcommands.Add(Stage("sft", "Fine-tune on dialogues, learning the assistant's words only.", (run, config, from, feedback, stop) =>
            LanguageStage.Run(config, DataFolder, Tokenizer(run), Path.Combine(run, "sft"), from ?? CheckpointPath(run, "pretrain"), TimeProvider.System, stop,
                feedback is null ? null : FeedbackFile.ReadDialogues(feedback))));
        root.Subcommands.Add(Stage("compare", "Write pairs of replies, better and worse, for the reward model.", (run, config, from, stop) =>
        {
            (int scripted, int sampled) = CompareStage.Run(config, DataFolder, Tokenizer(run), Path.Combine(run, "compare"), from ?? CheckpointPath(run, "sft"));
            Console.WriteLine($"{scripted} scripted and {sampled} sampled pairs");
        }));
        root.Subcommands.Add(Stage("reward", "Train the reward model on the comparisons.", (run, config, from, feedback, stop) =>
            RewardStage.Run(config, Tokenizer(run), Pairs(run, feedback), Path.Combine(run, "reward"), from ?? CheckpointPath(run, "sft"), TimeProvider.System, stop)));
        root.Subcommands.Add(Stage("ppo", "Reinforcement learning against the reward model.", (run, config, from, stop) =>
            PpoStage.Run(config, DataFolder, Tokenizer(run), Path.Combine(run, "ppo"), from ?? CheckpointPath(run, "sft"), CheckpointPath(run, "reward"), TimeProvider.System, stop)));
        root.Subcommands.Add(Stage("lora", "Learn a LoRA adapter of a model that stays as it is, on dialogues.", (run, config, from, feedback, stop) =>
            LanguageStage.Run(config, DataFolder, Tokenizer(run), Path.Combine(run, "lora"), from ?? CheckpointPath(run, "ppo"), TimeProvider.System, stop,
                feedback is null ? null : FeedbackFile.ReadDialogues(feedback))));
        root.Subcommands.Add(Stage("eval", "Print the evaluation table of base, SFT and PPO.", (run, config, from, stop) =>
            Console.WriteLine(EvalStage.Run(config, DataFolder, Tokenizer(run), run, stop))));
        root.Subcommands.Add(Stage("chat", "Print replies to the first questions a new user asks.", (run, config, from, stop) =>
            FirstQuestions.Print(from ?? CheckpointPath(run, "sft"), Tokenizer(run), Console.Out)));
        root.Subcommands.Add(Export());
        return root;
    }

    internal static string DataFolder => Path.Combine(AppContext.BaseDirectory, "data");

    internal static string CheckpointPath(string run, string stage) => Path.Combine(run, stage, "checkpoint.bin");

    internal static string TokenizerPath(string run) => Path.Combine(run, "tokenizer.json");

    internal static StageConfig ReadConfig(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllText(path), TrainingJson.Default.StageConfig)
                ?? throw new InvalidDataException($"{path} is empty.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path}: {e.Message}", e);
        }
    }

    private static BpeTokenizer Tokenizer(string run) => BpeTokenizer.Load(TokenizerPath(run));

    /// <summary>Those of the compare stage and those of users; with the latter the former need not be there.</summary>
    private static IReadOnlyList<Comparison> Pairs(string run, string? feedback)
    {
        string made = Path.Combine(run, "compare", "pairs.jsonl");
        return feedback is null ? CompareStage.Read(made) : [.. File.Exists(made) ? CompareStage.Read(made) : [], .. FeedbackFile.ReadComparisons(feedback)];
    }

    private static Command Stage(string name, string description, Action<string, StageConfig, string?, CancellationToken> body) =>
        Stage(name, description, [], (run, config, from, _, stop) => body(run, config, from, stop));

    private static Command Stage(string name, string description, Action<string, StageConfig, string?, string?, CancellationToken> body) => Stage(name, description, [Feedback], body);

    private static Command Stage(string name, string description, Option[] more, Action<string, StageConfig, string?, string?, CancellationToken> body)
    {
        var command = new Command(name, description) { Run, Config, From };
        foreach (Option option in more)
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed =>
        {
            string run = parsed.GetRequiredValue(Run).FullName;
            StageConfig config = ReadConfig(parsed.GetValue(Config)?.FullName ?? Path.Combine(AppContext.BaseDirectory, "configs", name + ".json"));
            string? from = parsed.GetValue(From);
            from = from is null || File.Exists(from) ? from : CheckpointPath(run, from);
            using var stop = new CancellationTokenSource();
            // Both signals end the stage after its current step, with a checkpoint.
            using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
            using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
            try
            {
                Directory.CreateDirectory(run);
                body(run, config, from, more.Length > 0 ? parsed.GetValue(Feedback)?.FullName : null, stop.Token);
                return 0;
            }
            catch (Exception e) when (e is InvalidDataException or FileNotFoundException or DirectoryNotFoundException)
            {
                Console.Error.WriteLine($"{name}: {e.Message}");
                return 1;
            }

            void Stop(PosixSignalContext context)
            {
                context.Cancel = true;
                stop.Cancel();
            }
        });
        return command;
    }

    private static Command Export()
    {
        var output = new Option<FileInfo>("--output") { Description = "The GGUF file to write.", Required = true };
        var type = new Option<string>("--type") { Description = "f16, q8_0 or f32.", DefaultValueFactory = _ => "q8_0" };
        type.AcceptOnlyFromAmong("f16", "q8_0", "f32");
        var adapterAlone = new Option<bool>("--adapter") { Description = "Of the stage lora: write the LoRA adapter alone, for the server's --lora. Without it the model is written with the adapter in it." };
        var command = new Command("export", "Write a checkpoint as GGUF for llama.cpp.") { Run, From, output, type, adapterAlone };
        command.SetAction(parsed =>
        {
            string run = parsed.GetRequiredValue(Run).FullName;
            string from = parsed.GetValue(From) ?? "ppo";
            string checkpoint = File.Exists(from) ? from : CheckpointPath(run, from);
            try
            {
                if (parsed.GetValue(adapterAlone))
                {
                    (Transformer changed, LoraAdapter? adapter) = LoadParts(checkpoint);
                    using (changed)
                    using (adapter ?? throw new InvalidDataException($"{checkpoint} holds no adapter: it is not of the stage lora."))
                    {
                        GgufExporter.Write(adapter, parsed.GetRequiredValue(output).FullName);
                        return 0;
                    }
                }
            }
            catch (Exception e) when (e is InvalidDataException or FileNotFoundException)
            {
                Console.Error.WriteLine($"export: {e.Message}");
                return 1;
            }

            using Transformer model = LoadModel(checkpoint);
            GgufTensorType tensors = parsed.GetValue(type) switch { "f16" => GgufTensorType.F16, "f32" => GgufTensorType.F32, _ => GgufTensorType.Q8_0 };
            GgufExporter.Write(model, Tokenizer(run), parsed.GetRequiredValue(output).FullName, tensors);
            return 0;
        });
        return command;
    }

    /// <summary>The model of a checkpoint, without optimizer state; of one of the stage lora with the adapter in it.</summary>
    internal static Transformer LoadModel(string path)
    {
        (Transformer model, LoraAdapter? adapter) = LoadParts(path);
        adapter?.MergeInto(model);
        adapter?.Dispose();
        return model;
    }

    /// <summary>The model of a checkpoint as it was, and the adapter that it learnt; null where it learnt none.</summary>
    internal static (Transformer Model, LoraAdapter? Adapter) LoadParts(string path)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"No checkpoint at {path}: run the stage before this one first.");
        }

        (RunState state, Dictionary<string, TorchSharp.torch.Tensor> tensors) = Checkpoint.Load(path);
        var model = new Transformer(state.Model ?? throw new InvalidDataException($"{path} does not say its model's shape."), seed: 0);
        LoraAdapter? adapter = state.Lora is { } lora ? new LoraAdapter(model, lora, seed: 0) : null;
        Checkpoint.CopyInto(tensors, adapter is null ? model.Weights : model.Weights.Concat(adapter.Parameters));
        Checkpoint.Dispose(tensors);
        return (model, adapter);
    }
}
