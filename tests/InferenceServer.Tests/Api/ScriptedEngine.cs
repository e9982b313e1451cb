using System.Collections.Concurrent;
using System.Text;
using InferenceServer.Chat;
using InferenceServer.Chat.Templates;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

/// <summary>An engine that says what the test wrote: for the border between HTTP and engine, where a model would only be in the way.</summary>
internal sealed class ScriptedEngine : IInferenceEngine
{
    private int _submitted;

    /// <summary>What every generation does; it runs on the pool and must end by a Finished event.</summary>
    public Func<ScriptedReply, Task> Script { get; set; } = reply => reply.SayAsync("Hello", ", ", "world");

    /// <summary>Thrown by Submit instead, when set.</summary>
    public Func<int, Exception?> Refuse { get; set; } = _ => null;

    public ConcurrentQueue<Generation> Submitted { get; } = new();

    public EngineSnapshot Snapshot { get; set; } = EngineSnapshot.Empty;

    public string? Failure { get; set; }

    public int ContextLength { get; init; } = 4096;

    public bool TakesCheckpoints { get; init; }

    /// <summary>Completes when Stop was asked for.</summary>
    public TaskCompletionSource Stopping { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Func<Task> OnStop { get; set; } = () => Task.CompletedTask;

    public long? KvPoolBytes { get; set; }

    /// <summary>This engine under ChatML's own template, whose markup its vocabulary knows.</summary>
    public ServedModel AsMarked()
    {
        ChatPromptRenderer renderer = new(ChatTemplate.Parse(BuiltinTemplates.ChatMLSource), "", "", TimeProvider.System, ["<|im_start|>", "<|im_end|>", "<s>"]);
        return TestHost.Served(this) with { Chat = renderer.Render, Replies = new ServedReplies(renderer.Replies, ScriptedVocabulary.Instance.ControlTokens) };
    }

    public Task<List<CachedSession>> ListSessionsAsync(string cacheNamespace) => Task.FromResult(new List<CachedSession>());

    public Task<bool> DropSessionAsync(string cacheNamespace, string id) => Task.FromResult(false);

    public Task StopAsync(TimeSpan drainTimeout)
    {
        Stopping.TrySetResult();
        return OnStop();
    }

    public Generation Submit(GenerationRequest request)
    {
        int number = Interlocked.Increment(ref _submitted);
        if (Refuse(number) is { } refusal)
            throw refusal;
        Generation generation = new(request);
        Submitted.Enqueue(generation);
        _ = Task.Run(() => PlayAsync(new ScriptedReply(generation)));
        return generation;
    }

    /// <summary>Says "partial", and fails when the test says so: once its client has that.</summary>
    public static (ScriptedEngine Engine, Action Fail) FailingMidway()
    {
        TaskCompletionSource failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                reply.Token("partial");
                await failure.Task;
                reply.Finish(FinishReason.Failed, error: "decode returned -3");
            },
        };
        return (engine, failure.SetResult);
    }

    private async Task PlayAsync(ScriptedReply reply)
    {
        try
        {
            await Script(reply);
        }
        catch (Exception error)
        {
            // What goes wrong in a script reaches the test as a failed reply.
            reply.Finish(FinishReason.Failed, error: $"the script failed: {error.Message}");
        }
    }
}

/// <summary>One generation from the engine's side.</summary>
internal sealed class ScriptedReply(Generation generation)
{
    private int _tokens;

    public GenerationRequest Request => generation.Request;

    public bool Cancelled => generation.CancelRequested;

    public async Task SayAsync(params string[] texts)
    {
        foreach (string text in texts)
            Token(text);
        await Task.Yield();
        Finish();
    }

    public void Token(string text, TokenLogprobs? logprobs = null)
    {
        _tokens++;
        Assert.True(generation.Write(new GenerationEvent(GenerationEventKind.Token, text, ScriptedVocabulary.First(text), logprobs, null)));
    }

    public void Finish(FinishReason reason = FinishReason.Stop, string heldBack = "", string? error = null, int cached = 3, GenerationTiming timing = default, string? stop = null)
    {
        GenerationResult result = new()
        {
            FinishReason = reason,
            Error = error,
            StopString = stop,
            PromptTokens = Request.PromptTokens.Length,
            CachedTokens = cached,
            CompletionTokens = _tokens,
            Timing = timing,
        };
        Assert.True(generation.Write(new GenerationEvent(GenerationEventKind.Finished, heldBack, 0, null, result)));
    }

    /// <summary>Waits, within limits, until the HTTP side cancels, then ends as the engine would.</summary>
    public async Task UntilCancelledAsync()
    {
        await Eventually.HoldsAsync(() => Cancelled);
        Finish(FinishReason.Cancelled);
    }
}

/// <summary>A token for each byte, then the two of ChatML and one for the beginning.</summary>
internal static class ScriptedVocabulary
{
    public const int Start = 256;
    public const int End = 257;
    public const int Bos = 258;

    private static readonly (string Name, int Token)[] Specials = [("<|im_start|>", Start), ("<|im_end|>", End), ("<s>", Bos)];

    private static readonly byte[][] Texts =
        [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value }), .. Specials.Select(special => Encoding.UTF8.GetBytes(special.Name))];

    public static ServedVocabulary Instance { get; } = new()
    {
        Count = Texts.Length,
        Tokenize = Tokenize,
        Bytes = (token, control) => token < 256 || control ? Texts[token] : [],
        Bos = Bos,
        Eos = End,
        EndTokens = [End],
        ControlTokens = new Dictionary<int, string> { [Start] = "<|im_start|>", [Bos] = "<s>" },
        LongestTokenBytes = 12,
    };

    public static int First(string text) => text.Length == 0 ? 0 : Encoding.UTF8.GetBytes(text)[0];

    private static int[] Tokenize(string text, bool addSpecial, bool parseSpecial)
    {
        List<int> tokens = [];
        for (int i = 0; i < text.Length; i++)
        {
            (string name, int token) = parseSpecial
                ? Specials.FirstOrDefault(special => string.CompareOrdinal(text, i, special.Name, 0, special.Name.Length) == 0)
                : default;
            if (name is not null)
            {
                tokens.Add(token);
                i += name.Length - 1;
                continue;
            }

            int units = char.IsSurrogatePair(text, i) ? 2 : 1;
            foreach (byte value in Encoding.UTF8.GetBytes(text.Substring(i, units)))
                tokens.Add(value);
            i += units - 1;
        }

        return [.. tokens];
    }
}
