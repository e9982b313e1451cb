using InferenceServer.Models;

namespace InferenceServer.InProcess;

/// <summary>A model as a generator of embeddings: vectors of length 1, as the HTTP server gives them.</summary>
internal sealed class InProcessEmbeddings(ServedEmbedder model, CallGate calls, TimeProvider clock) : IEmbeddingGenerator<string, Embedding<float>>
{
    private readonly EmbeddingGeneratorMetadata _metadata = new(nameof(InferenceServer), null, model.Id, model.Dimensions);

    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            using CallGate.Stay inside = calls.Enter();
            using CancellationTokenSource ends = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, calls.Closing);
            int dimensions = ReadDimensions(options);
            int[][] inputs = [.. values.Select((text, i) => EmbeddingTokens.Of(model, PromptText.Checked(text, $"{nameof(values)}[{i}]"), $"{nameof(values)}[{i}]"))];
            float[][] vectors = await model.Engine.EmbedAsync(inputs, ends.Token);
            DateTimeOffset created = clock.GetUtcNow();
            long tokens = inputs.Sum(input => (long)input.Length);
            return new(vectors.Select(vector => new Embedding<float>(VectorMath.Normalized(vector, dimensions)) { ModelId = model.Id, CreatedAt = created }))
            {
                Usage = new() { InputTokenCount = tokens, TotalTokenCount = tokens },
            };
        }
        catch (Exception error) when (InProcessProblems.Explain(error, calls, cancellationToken) is { } told)
        {
            throw told;
        }
    }

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null : serviceType == typeof(EmbeddingGeneratorMetadata) ? _metadata : serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <summary>Nothing: the engine is the model's, and others may use it.</summary>
    public void Dispose()
    {
    }

    private int ReadDimensions(EmbeddingGenerationOptions? options)
    {
        const string Place = nameof(EmbeddingGenerationOptions);
        if (options is null)
            return model.Dimensions;
        OptionsReader.CheckModel(options.ModelId, model.Id, $"{Place}.{nameof(options.ModelId)}");
        if (options.RawRepresentationFactory is not null)
            throw InProcessProblems.Unsupported($"{Place}.{nameof(options.RawRepresentationFactory)}", "there are no options beneath these.");
        return options.Dimensions is not { } asked ? model.Dimensions
            : asked >= 1 && asked <= model.Dimensions ? asked
            : throw RequestProblem.Invalid($"{{where}} must be from 1 to {model.Dimensions}; it is {asked}.", $"{Place}.{nameof(options.Dimensions)}", "out_of_range");
    }
}
