using System.Globalization;
using System.Text;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

/// <summary>What is the same in every line of a reply and in a whole one.</summary>
/// <param name="Name">The model as the client called it.</param>
/// <param name="IsChat">A message; else the text of /api/generate.</param>
/// <param name="ReportsTiming">Say more of where the time went than this dialect does by itself.</param>
internal sealed record OllamaHeader(string Name, bool IsChat, bool ReportsTiming, ServedModel Model, TimeProvider Clock, RequestTrace Trace)
{
    /// <summary>Now, as this dialect writes times.</summary>
    public string Now() => Time(Clock.GetUtcNow());

    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffffffZ", CultureInfo.InvariantCulture);
}

/// <summary>A whole reply in this dialect.</summary>
internal static class OllamaReplyWriter
{
    public static Task WriteAsync(HttpContext http, OllamaHeader header, WholeReply reply, bool logprobs)
    {
        IReadOnlyList<ReportedLogprob>? tokens = logprobs ? [.. reply.Logprobs.Select(token => ReportedLogprob.Of(header.Model.Vocabulary, token))] : null;
        if (!header.IsChat)
            return JsonAnswer.WriteAsync(http, End(new OllamaGenerateAnswer(header.Name, header.Now(), reply.Text ?? reply.Refusal ?? "")
            {
                Thinking = reply.Reasoning,
                Logprobs = tokens,
            }, reply.End, header), OllamaJson.Wire.OllamaGenerateAnswer);
        OllamaMessage message = new("assistant", reply.Text ?? reply.Refusal ?? "") { Thinking = reply.Reasoning, ToolCalls = Calls(reply.ToolCalls) };
        return JsonAnswer.WriteAsync(http, End(new OllamaChatAnswer(header.Name, header.Now(), message) { Logprobs = tokens }, reply.End, header), OllamaJson.Wire.OllamaChatAnswer);
    }

    /// <summary>The answer to a request that asks for nothing but a loaded model.</summary>
    public static Task WriteLoadedAsync(HttpContext http, OllamaHeader header, string reason) => header.IsChat
        ? JsonAnswer.WriteAsync(http, new OllamaChatAnswer(header.Name, header.Now(), new("assistant", "")) { Done = true, DoneReason = reason }, OllamaJson.Wire.OllamaChatAnswer)
        : JsonAnswer.WriteAsync(http, new OllamaGenerateAnswer(header.Name, header.Now(), "") { Done = true, DoneReason = reason }, OllamaJson.Wire.OllamaGenerateAnswer);

    /// <summary>Adds how the reply ended and what it cost.</summary>
    public static T End<T>(T reply, ReplyEnd end, OllamaHeader header)
        where T : OllamaReply => reply with
        {
            Done = true,
            DoneReason = end.Finish == ReplyFinish.Length ? "length" : "stop",
            TotalDuration = Nanoseconds(header.Trace.ElapsedSeconds),
            LoadDuration = 0,
            PromptEvalCount = end.Result.PromptTokens,
            PromptEvalDuration = Nanoseconds(end.Result.Timing.PrefillSeconds),
            EvalCount = end.Result.CompletionTokens,
            EvalDuration = Nanoseconds(end.Result.Timing.DecodeSeconds),
            Timing = RequestTiming.Of(header.ReportsTiming, [end.Result], 1),
        };

    /// <summary>Null for a call that was cut off: run with what is there of its arguments it would do something else than was meant.</summary>
    public static OllamaToolCall? Call(int index, string? id, string name, string arguments)
    {
        try
        {
            return new(id, new OllamaFunctionCall(index, name, JsonDocument.Parse(arguments).RootElement));
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static List<OllamaToolCall>? Calls(IReadOnlyList<ChatToolCall> calls)
    {
        List<OllamaToolCall> whole = [.. calls.Select((call, index) => Call(index, call.Id, call.Name, call.Arguments)).OfType<OllamaToolCall>()];
        return whole.Count > 0 ? whole : null;
    }

    private static long Nanoseconds(double seconds) => (long)Math.Round(seconds * 1e9);
}

/// <summary>A streamed reply: a line of JSON for each piece, the last with how it ended. A call comes in one line, once it is whole.</summary>
internal sealed class OllamaStreamEncoder(SseBuffer buffer, OllamaHeader header) : IReplyEncoder
{
    private readonly byte[] _head = Encoding.UTF8.GetBytes($"{{\"model\":{SseBuffer.Quote(header.Name)},\"created_at\":\"");
    private readonly StringBuilder _arguments = new();
    private (string? Id, string Name) _call;

    private const string Lines = "application/x-ndjson";

    public string ContentType => Lines;

    /// <summary>A line that says nothing: there are no comments in this format.</summary>
    public ReadOnlySpan<byte> KeepAlive => Silence(header.Name, header.IsChat, header.Now(), "");

    /// <summary>Such lines while the model is loaded, which say so.</summary>
    public static LoadSigns SignsOf(OllamaCall call, bool isChat, TimeProvider clock) => new(clock, Lines,
        state => Silence(call.Model, isChat, OllamaHeader.Time(clock.GetUtcNow()), $",\"status\":{SseBuffer.Quote(state)}"));

    private static byte[] Silence(string model, bool isChat, string now, string more) => Encoding.UTF8.GetBytes(
        $"{{\"model\":{SseBuffer.Quote(model)},\"created_at\":\"{now}\",{(isChat ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"}" : "\"response\":\"\"")},\"done\":false{more}}}\n");

    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Delta)
            Delta(read.Delta, read.Logprobs);
        else if (read.Kind == ReplyEventKind.Finish)
            Finish(read.End!);
    }

    private void Delta(in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        switch (delta.Kind)
        {
            case ReplyDeltaKind.Content or ReplyDeltaKind.Refusal when delta.Text.Length > 0 || logprobs is not null:
                Piece("", delta.Text, logprobs);
                return;
            case ReplyDeltaKind.Reasoning:
                Piece(delta.Text, "", logprobs);
                return;
            case ReplyDeltaKind.CallBegin:
                _call = (delta.Id, delta.Text);
                _arguments.Clear();
                break;
            case ReplyDeltaKind.CallArguments:
                _arguments.Append(delta.Text);
                break;
            case ReplyDeltaKind.CallEnd when OllamaReplyWriter.Call(delta.Call, _call.Id, _call.Name, _arguments.ToString()) is { } call:
                Open();
                buffer.Raw("\"message\":"u8);
                buffer.Json(new OllamaMessage("assistant", "") { ToolCalls = [call] }, OllamaJson.Wire.OllamaMessage);
                Close(logprobs);
                return;
        }

        if (logprobs is not null)
            Piece("", "", logprobs);
    }

    private void Finish(ReplyEnd end)
    {
        if (header.IsChat)
            buffer.Json(OllamaReplyWriter.End(new OllamaChatAnswer(header.Name, header.Now(), new("assistant", "")), end, header), OllamaJson.Wire.OllamaChatAnswer);
        else
            buffer.Json(OllamaReplyWriter.End(new OllamaGenerateAnswer(header.Name, header.Now(), ""), end, header), OllamaJson.Wire.OllamaGenerateAnswer);
        buffer.Raw("\n"u8);
    }

    public void End(ReadOnlySpan<ReplyEnd> ends)
    {
    }

    public void Error(RequestProblem problem)
    {
        buffer.Json(OllamaErrors.Response(problem), OllamaJson.Wire.OllamaError);
        buffer.Raw("\n"u8);
    }

    private void Piece(string thinking, string text, TokenLogprobs? logprobs)
    {
        Open();
        buffer.Raw(header.IsChat ? "\"message\":{\"role\":\"assistant\",\"content\":"u8 : "\"response\":"u8);
        buffer.JsonString(text);
        if (thinking.Length > 0)
        {
            buffer.Raw(",\"thinking\":"u8);
            buffer.JsonString(thinking);
        }

        if (header.IsChat)
            buffer.Raw("}"u8);
        Close(logprobs);
    }

    private void Open()
    {
        buffer.Raw(_head);
        buffer.Raw(Encoding.UTF8.GetBytes(header.Now()));
        buffer.Raw("\","u8);
    }

    private void Close(TokenLogprobs? logprobs)
    {
        buffer.Raw(",\"done\":false"u8);
        if (logprobs is not null)
        {
            buffer.Raw(",\"logprobs\":["u8);
            buffer.Json(ReportedLogprob.Of(header.Model.Vocabulary, logprobs), OllamaJson.Wire.ReportedLogprob);
            buffer.Raw("]"u8);
        }

        buffer.Raw("}\n"u8);
    }
}
