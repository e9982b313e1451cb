using InferenceServer.Library;
using InferenceServer.Llama;

namespace InferenceServer.Operations;

/// <summary>Failures of a start that are the operator's to mend, as one line; anything else is a fault of ours and keeps its stack trace.</summary>
internal static class StartFailure
{
    public static string? Explain(Exception error, ServerOptions options) => error switch
    {
        LlamaException or ServerStartException or LibraryException => error.Message,
        OperationCanceledException { InnerException: TimeoutException } => "the model did not decode its first tokens within 5 minutes; choose a smaller --model or another --backend",
        IOException { InnerException: Microsoft.AspNetCore.Connections.AddressInUseException } =>
            $"port {options.Port} on {options.Host} is in use; choose another with --port",
        IOException or UnauthorizedAccessException or System.Net.Sockets.SocketException => $"{error.Message} (host {options.Host}, port {options.Port})",
        _ => null,
    };
}
