namespace InferenceServer.Llama;

/// <summary>A library, model, context or call that cannot work; the message is one line that names what, where and the remedy.</summary>
public sealed class LlamaException : Exception
{
    /// <summary>Whether memory was wanting: less may fit.</summary>
    public bool IsOutOfMemory { get; init; }

    /// <summary>Creates an exception without a message.</summary>
    public LlamaException()
    {
    }

    /// <summary>Creates an exception whose message is fit to be shown to the operator as it is.</summary>
    public LlamaException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with its cause.</summary>
    public LlamaException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
