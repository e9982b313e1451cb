namespace InferenceServer.Chat.Templates;

/// <summary>A template that cannot be parsed or rendered: what went wrong, and where in its source. The template or its context is at fault, not the caller.</summary>
public class TemplateException : Exception
{
    private readonly string _cause;

    public TemplateException(string cause)
        : this(cause, 0, 0)
    {
    }

    public TemplateException(string cause, int line, int column)
        : base(cause)
    {
        _cause = cause;
        Line = line;
        Column = column;
    }

    /// <summary>Line of the statement at fault, counted from 1; 0 when unknown.</summary>
    public int Line { get; private set; }

    /// <summary>Column of the statement at fault, counted from 1; 0 when unknown.</summary>
    public int Column { get; private set; }

    /// <summary>The fault without its place.</summary>
    public string Cause => _cause;

    public override string Message => Line == 0 ? _cause : $"chat template, line {Line}, column {Column}: {_cause}";

    internal bool IsLocated => Line != 0;

    /// <summary>Names the place, seen from an exception filter that lets the exception pass.</summary>
    /// <returns>Always false.</returns>
    internal bool LocateAt(int line, int column)
    {
        Line = line;
        Column = column;
        return false;
    }
}

/// <summary>The template itself refused its input through <c>raise_exception(message)</c>: a fault of the request (roles that do not alternate, say).</summary>
public sealed class TemplateRaisedException : TemplateException
{
    public TemplateRaisedException(string message)
        : base(message)
    {
    }

    /// <summary>The text given to <c>raise_exception</c>.</summary>
    public string RaisedMessage => Cause;
}
