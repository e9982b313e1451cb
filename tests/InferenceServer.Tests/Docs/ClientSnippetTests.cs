using System.ClientModel;
using InferenceServer.Tests.Api.Clients;
using OpenAI;
using OpenAI.Chat;

namespace InferenceServer.Tests.Docs;

/// <summary>README's code for clients runs as it stands there, but for the address.</summary>
public sealed class ClientSnippetTests(DocumentedServer server, NodeClients node) : IClassFixture<DocumentedServer>, IClassFixture<NodeClients>
{
    private const string Address = "http://127.0.0.1:8080/v1";

    private static string Snippet(string language) => Document.Read("README.md").Blocks.Single(block => block.Language == language).Text;

    [SkippableFact]
    public async Task The_JavaScript_of_README_prints_a_reply()
    {
        string source = Snippet("js").Replace(Address, new Uri(server.Host.Client.BaseAddress!, "/v1").ToString(), StringComparison.Ordinal);
        Assert.NotEqual("", (await node.RunSourceAsync("readme", source)).Trim());
    }

    [Fact]
    public async Task The_CSharp_of_README_is_this_code_and_prints_a_reply()
    {
        string address = new Uri(server.Host.Client.BaseAddress!, "/v1").ToString();
        // In the place of the class of that name, so that the lines are README's.
        using StringWriter Console = new();
        OpenAIClient client = new(new ApiKeyCredential("unused"), new OpenAIClientOptions { Endpoint = new Uri(address) });
        await foreach (StreamingChatCompletionUpdate update in client.GetChatClient("chat-small").CompleteChatStreamingAsync(new UserChatMessage("Hello!")))
            foreach (ChatMessageContentPart part in update.ContentUpdate)
                Console.Write(part.Text);
        Assert.NotEqual("", Console.ToString().Trim());

        string source = await File.ReadAllTextAsync(Path.Combine(SharedFolder.RepositoryRoot, "tests", "InferenceServer.Tests", "Docs", $"{nameof(ClientSnippetTests)}.cs"));
        Assert.Contains(Unindented(Snippet("csharp").Replace($"\"{Address}\"", "address", StringComparison.Ordinal)), Unindented(source), StringComparison.Ordinal);
    }

    private static string Unindented(string text) => string.Join('\n', text.ReplaceLineEndings("\n").TrimEnd().Split('\n').Select(line => line.Trim()));
}
