using System.Globalization;
using System.Text;
using InferenceServer.Tests.Docs;

namespace InferenceServer.Tests.Api.Compatibility;

/// <summary>Writes docs/compatibility.md out of the transcripts that are replayed.</summary>
internal static class CompatibilityPage
{
    public static IReadOnlyList<Client> Clients { get; } =
    [
        CodexTranscripts.Client, ClaudeCodeTranscripts.Client, ClineTranscripts.Client, ContinueTranscripts.Client, OpenWebUITranscripts.Client,
        LangChainTranscripts.Client, VercelTranscripts.Client, SemanticKernelTranscripts.Client, OllamaTranscripts.Client,
    ];

    public static string Write()
    {
        StringBuilder text = new();
        text.Append("# Clients\n\n").Append(GeneratedPage.Notice(nameof(CompatibilityTests)))
            .Append("This page says what each client sends that is special, and what the server does with it. Each row is a request in that client's shape, which a test sends to the server.\n\n")
            .Append("Four things hold for all of them:\n\n")
            .Append("- A field that the server does not know, and a tool that only another server can run, do not make a request fail. The header `x-ignored-params` names them. With `--strict` the answer is 400 instead.\n- What the server knows and cannot do, such as reading a picture of the user, is refused with 400. The answer names the place.\n")
            .Append("- A conversation that the model's chat template cannot say is adapted without losing a text. The header `x-conversation-adapted` says how. [Conversation adaptation](conversation-adaptation.md) lists it for common templates.\n")
            .Append("- A model name is matched without regard to case, `:latest` and `.gguf`. An unknown name is a 404 that lists what is loaded.\n\n")
            .Append("[API reference](api.md) has every field.\n\n");
        foreach (Client client in Clients)
        {
            text.Append(CultureInfo.InvariantCulture, $"## {client.Name}\n\n{client.Settings}\n\n| what it sends | what the server does | told in headers |\n|---|---|---|\n");
            foreach (Transcript one in client.Transcripts)
                text.Append(CultureInfo.InvariantCulture, $"| {GeneratedPage.Cell(one.Sends)} | {GeneratedPage.Cell(one.Does)} | {Told(one)} |\n");
            text.Append('\n');
        }

        return text.ToString().TrimEnd('\n') + "\n";
    }

    private static string Told(Transcript one) => string.Join("<br>",
        ((string?[])[one.Ignored is null ? null : $"`x-ignored-params: {one.Ignored}`", one.Adapted is null ? null : $"`x-conversation-adapted: {one.Adapted}`", one.Status == 200 ? null : $"status {one.Status}"]).OfType<string>());
}
