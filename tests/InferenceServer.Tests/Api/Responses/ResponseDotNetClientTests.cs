using System.ClientModel;
using System.Text;
using OpenAI.Responses;

#pragma warning disable OPENAI001 // The client's side of this API may still change.

namespace InferenceServer.Tests.Api.Responses;

/// <summary>OpenAI's own .NET client: a call, its output as the next turn, a stream, and what is gone.</summary>
public sealed class ResponseDotNetClientTests
{
    [Fact]
    public async Task The_official_client_answers_a_call_goes_on_in_a_stream_fetches_and_deletes()
    {
        int turns = 0;
        ScriptedEngine engine = new()
        {
            Script = reply => Interlocked.Increment(ref turns) == 1
                ? reply.SayAsync("<think>Hm.</think>", "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": \"Rome\"}}\n</tool_call>")
                : reply.SayAsync("It is ", "noon."),
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        ResponsesClient client = new(new ApiKeyCredential("none"), new ResponsesClientOptions { Endpoint = new Uri(host.Host.Client.BaseAddress!, "/v1") });

        CreateResponseOptions options = new() { Model = TestHost.ModelId };
        options.Tools.Add(ResponseTool.CreateFunctionTool(functionName: "now", functionParameters: BinaryData.FromString("{\"type\":\"object\"}"), strictModeEnabled: false));
        options.InputItems.Add(ResponseItem.CreateUserMessageItem("What time is it in Rome?"));
        ResponseResult first = await client.CreateResponseAsync(options);
        FunctionCallResponseItem call = Assert.Single(first.OutputItems.OfType<FunctionCallResponseItem>());
        Assert.Equal(("now", "{\"zone\": \"Rome\"}"), (call.FunctionName, call.FunctionArguments.ToString()));
        Assert.Single(first.OutputItems.OfType<ReasoningResponseItem>());

        CreateResponseOptions next = new() { Model = TestHost.ModelId, PreviousResponseId = first.Id, StreamingEnabled = true };
        next.InputItems.Add(ResponseItem.CreateFunctionCallOutputItem(call.CallId, "12:00"));
        StringBuilder said = new();
        ResponseResult? completed = null;
        await foreach (StreamingResponseUpdate update in await client.CreateResponseStreamingAsync(next))
        {
            if (update is StreamingResponseOutputTextDeltaUpdate delta)
                said.Append(delta.Delta);
            completed = (update as StreamingResponseCompletedUpdate)?.Response ?? completed;
        }

        Assert.Equal("It is noon.", said.ToString());
        Assert.Equal("It is noon.", completed?.GetOutputText());
        ResponseResult fetched = await client.GetResponseAsync(completed!.Id);
        Assert.Equal((first.Id, "It is noon."), (fetched.PreviousResponseId, fetched.GetOutputText()));
        await client.DeleteResponseAsync(completed.Id);
        ClientResultException missing = await Assert.ThrowsAsync<ClientResultException>(() => client.GetResponseAsync(completed.Id));
        Assert.Equal(404, missing.Status);
    }
}
