using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;

namespace InferenceServer.Training.Stages;

/// <summary>Everything that decides one stage's result, read from one JSON file. Token counts include padding.</summary>
/// <param name="Seed">Seed of the stage's weights, corpus and samples.</param>
/// <param name="VocabularySize">Tokens to train in the tokenizer stage.</param>
/// <param name="Model">Shape of a new model; later stages take it from the checkpoint.</param>
/// <param name="Mixture">What text stages learn from.</param>
/// <param name="Optimizer">Learning rates and decays.</param>
/// <param name="MicroBatchTokens">Tokens of one pass.</param>
/// <param name="MicroBatches">Passes a step.</param>
/// <param name="Steps">Steps of the stage; scripted pairs in compare.</param>
/// <param name="WarmupSteps">The rate rises linearly over this many first steps.</param>
/// <param name="DecaySteps">The rate falls linearly to zero over this many last steps.</param>
/// <param name="Workers">Passes that run side by side, one libtorch thread each.</param>
/// <param name="CheckpointSeconds">Time between checkpoints.</param>
/// <param name="BFloat16">Compute in bfloat16 (weights stay float32) or all in float32.</param>
/// <param name="Samples">Prompts to sample in compare, a step in ppo, a measure in eval.</param>
/// <param name="ReplyTokens">Longest sampled reply, tokens.</param>
/// <param name="KlPenalty">Weight of the divergence from the SFT model in ppo.</param>
/// <param name="ClipRange">How far ppo's probability ratio counts from one.</param>
/// <param name="Lambda">Decay of generalized advantage estimation.</param>
/// <param name="Epochs">Updates over the same samples in ppo.</param>
/// <param name="Lora">Learn a low-rank change of the model to start from, and leave that as it is.</param>
public sealed record StageConfig(
    int Seed = 1,
    int VocabularySize = 4096,
    ModelConfig? Model = null,
    Mixture? Mixture = null,
    OptimizerOptions? Optimizer = null,
    int MicroBatchTokens = 1024,
    int MicroBatches = 4,
    int Steps = 1000,
    int WarmupSteps = 40,
    int DecaySteps = 0,
    int Workers = 2,
    int CheckpointSeconds = 180,
    bool BFloat16 = true,
    int Samples = 32,
    int ReplyTokens = 64,
    double KlPenalty = 0.05,
    double ClipRange = 0.2,
    double Lambda = 0.95,
    int Epochs = 1,
    LoraOptions? Lora = null)
{
    public Mixture Mixture { get; init; } = Mixture ?? new();

    public OptimizerOptions Optimizer { get; init; } = Optimizer ?? new();

    public double RateFactor(long step)
    {
        double warm = WarmupSteps > 0 ? Math.Min(1, (step + 1.0) / WarmupSteps) : 1;
        double decay = DecaySteps > 0 ? Math.Clamp((Steps - step) / (double)DecaySteps, 0, 1) : 1;
        return Math.Min(warm, decay);
    }
}

/// <summary>Where a run stands; saved with the tensors.</summary>
public sealed record RunState(
    ModelConfig? Model = null,
    long Step = 0,
    long Tokens = 0,
    long Updates = 0,
    long Pool = -1,
    int PoolPosition = 0,
    ulong RandomState = 0,
    LoraOptions? Lora = null);
