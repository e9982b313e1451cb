using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Stages;
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training;

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    ReadCommentHandling = JsonCommentHandling.Skip,
    AllowTrailingCommas = true,
    WriteIndented = false)]
[JsonSerializable(typeof(TokenizerFile))]
[JsonSerializable(typeof(ModelConfig))]
[JsonSerializable(typeof(StageConfig))]
[JsonSerializable(typeof(RunState))]
[JsonSerializable(typeof(Comparison))]
[JsonSerializable(typeof(FeedbackFile.DialogueLine))]
[JsonSerializable(typeof(FeedbackFile.PreferenceLine))]
internal sealed partial class TrainingJson : JsonSerializerContext;
