using System.Buffers;
using System.ComponentModel;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>One server-sent event of a streamed response, all kinds in one: each has <c>type</c>, <c>sequence_number</c> and what its kind needs.</summary>
public sealed record ResponseStreamEvent(
    string Type, int SequenceNumber, ModelResponse? Response, ResponseItem? Item, ResponseContent? Part, string? ItemId, int? OutputIndex, int? ContentIndex, int? SummaryIndex,
    [property: Description("More of a text or of arguments.")] string? Delta,
    [property: Description("The whole text.")] string? Text,
    [property: Description("The whole arguments.")] string? Arguments,
    string? Name, IReadOnlyList<ResponseEventLogprob>? Logprobs, string? Code, string? Message, string? Param);

/// <summary>A token's log probability within an event; the item that ends has its bytes too.</summary>
public sealed record ResponseEventLogprob(string Token, float Logprob, IReadOnlyList<ResponseEventTopLogprob> TopLogprobs)
{
    internal static IReadOnlyList<ResponseEventLogprob> Of(IReadOnlyList<ReportedLogprob> logprobs) => [.. logprobs.Select(token =>
        new ResponseEventLogprob(token.Token, token.Logprob, [.. token.TopLogprobs.Select(top => new ResponseEventTopLogprob(top.Token, top.Logprob))]))];
}

public sealed record ResponseEventTopLogprob(string Token, float Logprob);

/// <summary>The events of one response, kept from the first on. One writer; any number of readers, who may come late. Bounded by the reply's length.</summary>
internal sealed class ResponseEventLog
{
    private readonly Lock _lock = new();
    private readonly List<byte[]> _events = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _ended;

    public int Count
    {
        get
        {
            lock (_lock)
                return _events.Count;
        }
    }

    public void Append(byte[] written)
    {
        lock (_lock)
        {
            _events.Add(written);
            Wake();
        }
    }

    /// <summary>No more will come.</summary>
    public void End()
    {
        lock (_lock)
        {
            _ended = true;
            Wake();
        }
    }

    /// <summary>Adds the events from <paramref name="from"/> on; true when the last one is among them or before them.</summary>
    public bool Read(int from, List<byte[]> events)
    {
        lock (_lock)
        {
            if (from < _events.Count)
                events.AddRange(_events.GetRange(from, _events.Count - from));
            return _ended;
        }
    }

    /// <summary>Completes when there is an event <paramref name="from"/>, or the end.</summary>
    public Task WaitAsync(int from, CancellationToken cancellation)
    {
        lock (_lock)
            return _ended || from < _events.Count ? Task.CompletedTask : _changed.Task.WaitAsync(cancellation);
    }

    /// <summary>All of them in one piece, as they were sent.</summary>
    public byte[] ToArray()
    {
        lock (_lock)
        {
            ArrayBufferWriter<byte> all = new();
            _events.ForEach(written => all.Write(written));
            return all.WrittenSpan.ToArray();
        }
    }

    /// <summary>A log that was kept with <see cref="ToArray"/>. An event ends with an empty line, and holds none.</summary>
    public static ResponseEventLog Of(ReadOnlySpan<byte> all)
    {
        ResponseEventLog log = new();
        while (!all.IsEmpty)
        {
            int end = all.IndexOf("\n\n"u8);
            int length = end < 0 ? all.Length : end + 2;
            log._events.Add(all[..length].ToArray());
            all = all[length..];
        }

        log._ended = true;
        return log;
    }

    private void Wake()
    {
        TaskCompletionSource changed = _changed;
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }
}

/// <summary>Writes events and numbers them.</summary>
/// <param name="log">Null where nobody will read them.</param>
internal sealed class ResponseEventWriter(ResponseEventLog? log) : IDisposable
{
    private readonly ArrayBufferWriter<byte> _buffer = new();
    private Utf8JsonWriter? _json;
    private int _sequence;

    /// <summary>Goes on with the numbers of this one, into another log; nothing where this one writes nothing.</summary>
    public ResponseEventWriter Apart(ResponseEventLog other) => log is null ? new(null) : new(other) { _sequence = _sequence };

    public void Response(string type, ModelResponse response)
    {
        if (Begin(type) is not { } json)
            return;
        json.WritePropertyName("response");
        JsonSerializer.Serialize(json, response, ResponsesJson.Wire.ModelResponse);
        End(json);
    }

    public void Item(string type, int outputIndex, ResponseItem item)
    {
        if (Begin(type) is not { } json)
            return;
        json.WriteNumber("output_index", outputIndex);
        json.WritePropertyName("item");
        JsonSerializer.Serialize(json, item, ResponsesJson.Wire.ResponseItem);
        End(json);
    }

    public void Part(string type, string itemId, int outputIndex, ResponseContent part)
    {
        if (BeginIn(type, itemId, outputIndex) is not { } json)
            return;
        json.WriteNumber(IndexOf(type), 0);
        json.WritePropertyName("part");
        JsonSerializer.Serialize(json, part, ResponsesJson.Wire.ResponseContent);
        End(json);
    }

    /// <param name="field">delta or text.</param>
    /// <param name="logprobs">Null for reasoning, whose events have none.</param>
    public void Text(string type, string itemId, int outputIndex, string field, string text, IReadOnlyList<ReportedLogprob>? logprobs)
    {
        if (BeginIn(type, itemId, outputIndex) is not { } json)
            return;
        json.WriteNumber(IndexOf(type), 0);
        json.WriteString(field, text);
        if (logprobs is not null)
        {
            json.WritePropertyName("logprobs");
            JsonSerializer.Serialize(json, ResponseEventLogprob.Of(logprobs), ResponsesJson.Wire.IReadOnlyListResponseEventLogprob);
        }

        End(json);
    }

    /// <param name="field">delta or arguments.</param>
    /// <param name="name">The function, where the arguments are whole.</param>
    public void Arguments(string type, string itemId, int outputIndex, string field, string text, string? name)
    {
        if (BeginIn(type, itemId, outputIndex) is not { } json)
            return;
        json.WriteString(field, text);
        if (name is not null)
            json.WriteString("name", name);
        End(json);
    }

    /// <summary>An item has come to a new state.</summary>
    public void Progress(string type, string itemId, int outputIndex)
    {
        if (BeginIn(type, itemId, outputIndex) is { } json)
            End(json);
    }

    public void Error(RequestProblem error)
    {
        if (Begin("error") is not { } json)
            return;
        json.WriteString("code", error.Code);
        json.WriteString("message", ErrorResponse.Explain(error, ResponseErrors.Names));
        json.WriteString("param", ResponseErrors.Names.Of(error.Where));
        End(json);
    }

    public void Dispose() => _json?.Dispose();

    /// <summary>Items have one part here, whether it is content or a summary.</summary>
    private static string IndexOf(string type) => type.StartsWith("response.reasoning_summary", StringComparison.Ordinal) ? "summary_index" : "content_index";

    private Utf8JsonWriter? BeginIn(string type, string itemId, int outputIndex)
    {
        Utf8JsonWriter? json = Begin(type);
        json?.WriteString("item_id", itemId);
        json?.WriteNumber("output_index", outputIndex);
        return json;
    }

    private Utf8JsonWriter? Begin(string type)
    {
        if (log is null)
            return null;
        _buffer.ResetWrittenCount();
        _buffer.Write("event: "u8);
        Encoding.UTF8.GetBytes(type, _buffer);
        _buffer.Write("\ndata: "u8);
        if (_json is null)
            _json = new Utf8JsonWriter(_buffer, new JsonWriterOptions { Encoder = ResponsesJson.Wire.Options.Encoder });
        else
            _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("type", type);
        _json.WriteNumber("sequence_number", _sequence++);
        return _json;
    }

    private void End(Utf8JsonWriter json)
    {
        json.WriteEndObject();
        json.Flush();
        _buffer.Write("\n\n"u8);
        log!.Append(_buffer.WrittenSpan.ToArray());
    }
}
