// The constraints of one model: its vocabulary as a trie, built once in the background, and the grammars that requests compiled lately.
// Any thread; compiling runs on the pool, a few at a time, and never on the decode thread.

using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Constraints;

namespace InferenceServer.Models;

/// <summary>A constraint in the tokens of a model.</summary>
/// <param name="Loosened">As <see cref="BuiltConstraint.Loosened"/>.</param>
public sealed record ServedConstraint(TokenConstraint Constraint, IReadOnlyList<string> Loosened);

/// <summary>Compiles constraints for one model and remembers the latest.</summary>
public sealed class ServedConstraints
{
    // A tool's schema is a few thousand characters; a list of choices may be long.
    private const int MaxSourceCharacters = 1 << 20;

    // The last ones by use. Applications have a few schemas each; what a constraint holds grows while it is used.
    private const int MaxEntries = 256;
    private const long MaxBytes = 64L << 20;

    private readonly Task<TokenVocabularyTrie> _vocabulary;
    private readonly TaskScheduler _compiling =
        new ConcurrentExclusiveSchedulerPair(TaskScheduler.Default, Math.Max(1, Environment.ProcessorCount / 2)).ConcurrentScheduler;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, LinkedListNode<Entry>> _entries = [];
    private readonly LinkedList<Entry> _byUse = new(); // the most recent first

    /// <summary>Begins to build the trie: about a second for 150k tokens, while the model warms up.</summary>
    public ServedConstraints(ServedVocabulary vocabulary) => _vocabulary = Task.Run(() => TokenVocabularyTrie.Build(
        [.. Enumerable.Range(0, vocabulary.Count).Select(token => (ReadOnlyMemory<byte>)vocabulary.Bytes(token, false).ToArray())],
        vocabulary.EndTokens, vocabulary.ControlTokens));

    private sealed record Compilation(CompiledConstraint Constraint, IReadOnlyList<string> Loosened);

    private sealed record Entry(string Key, Task<Compilation> Compiled)
    {
        public long Bytes => (2L * Key.Length) + (Compiled.IsCompletedSuccessfully ? Compiled.Result.Constraint.Bytes : 0);
    }

    /// <summary>What is slower is refused: a 50-property schema takes milliseconds, and a request may not keep a core for itself.</summary>
    public TimeSpan CompileTimeLimit { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Constraints remembered at the moment.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
                return _entries.Count;
        }
    }

    /// <summary>The constraint, compiled now or before.</summary>
    /// <param name="aborted">The client went away; the compilation goes on for the next one who asks.</param>
    /// <exception cref="RequestProblem">It cannot be enforced, with the path of what is wrong, or it is too large or too slow to compile.</exception>
    public async Task<ServedConstraint> CompileAsync(ConstraintSource source, CancellationToken aborted)
    {
        if (source.Key.Length > MaxSourceCharacters)
            throw RequestProblem.Invalid($"{{where}} has {source.Key.Length} characters; at most {MaxSourceCharacters} are compiled.", source.Path, "invalid_length");
        TokenVocabularyTrie vocabulary = await _vocabulary.WaitAsync(aborted);
        try
        {
            (CompiledConstraint compiled, IReadOnlyList<string> loosened) = await Find(source).WaitAsync(aborted);
            // Names the control token that this vocabulary lacks now rather than on the decode thread.
            _ = new ConstraintState(compiled, vocabulary);
            return new(new TokenConstraint(compiled, vocabulary), loosened);
        }
        catch (ConstraintException error)
        {
            throw ConstraintProblems.Explain(error, source.Path);
        }
        catch (TimeoutException)
        {
            throw RequestProblem.Invalid($"{{where}} takes more than {CompileTimeLimit.TotalSeconds} s to compile; make it smaller.", source.Path, ConstraintProblems.Code);
        }
    }

    private Task<Compilation> Find(ConstraintSource source)
    {
        lock (_gate)
        {
            if (_entries.TryGetValue(source.Key, out LinkedListNode<Entry>? known))
            {
                _byUse.Remove(known);
                // One that ran out of time on a busy machine may be tried again; any other failure is for ever.
                if (known.Value.Compiled.Exception?.InnerException is not TimeoutException)
                {
                    _byUse.AddFirst(known);
                    return known.Value.Compiled;
                }
            }
            Entry made = new(source.Key, Task.Factory.StartNew(() => Compile(source), CancellationToken.None, TaskCreationOptions.None, _compiling));
            _entries[source.Key] = _byUse.AddFirst(made);
            Trim();
            return made.Compiled;
        }
    }

    private Compilation Compile(ConstraintSource source)
    {
        using CancellationTokenSource limit = new(CompileTimeLimit);
        try
        {
            BuiltConstraint built = source.Build(limit.Token);
            return new(CompiledConstraint.FromParts(built.Part, limit.Token), built.Loosened);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException();
        }
    }

    /// <summary>Forgets the least recently used; replies that run with them keep them.</summary>
    private void Trim()
    {
        long bytes = 0;
        int kept = 0;
        for (LinkedListNode<Entry>? at = _byUse.First; at is not null;)
        {
            LinkedListNode<Entry>? next = at.Next;
            bytes += at.Value.Bytes;
            if (kept > 0 && (kept >= MaxEntries || bytes > MaxBytes))
            {
                _byUse.Remove(at);
                _entries.Remove(at.Value.Key);
            }
            else
                kept++;
            at = next;
        }
    }
}
