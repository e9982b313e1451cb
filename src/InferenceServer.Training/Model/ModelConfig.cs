using System.Text.Json.Serialization;

namespace InferenceServer.Training.Model;

/// <summary>Shape of a llama-architecture decoder. Sizes are counts of elements, tokens or blocks.</summary>
public sealed record ModelConfig(
    int VocabularySize = 4096,
    int Width = 256,
    int Layers = 6,
    int Heads = 4,
    int KvHeads = 2,
    int FeedForward = 704,
    int ContextLength = 1024,
    double RopeTheta = 10_000,
    double NormEpsilon = 1e-5)
{
    [JsonIgnore]
    public int HeadSize => Width / Heads;

    /// <exception cref="InvalidDataException">A size that no llama-architecture decoder can have.</exception>
    public ModelConfig Validated()
    {
        if (VocabularySize < 1 || Layers < 1 || FeedForward < 1 || ContextLength < 1 || Heads < 1 || KvHeads < 1 || Width < 1)
        {
            throw new InvalidDataException("Model: every size must be at least 1.");
        }

        if (Width % Heads != 0 || HeadSize % 2 != 0 || Heads % KvHeads != 0)
        {
            throw new InvalidDataException(
                $"Model: width {Width} must divide into {Heads} heads of even size, and heads into {KvHeads} KV heads.");
        }

        return this;
    }
}
