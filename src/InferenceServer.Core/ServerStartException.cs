namespace InferenceServer;

/// <summary>The server cannot start; the message is the one line that the user sees, and names the remedy.</summary>
public sealed class ServerStartException(string message, Exception? inner = null) : Exception(message, inner);
