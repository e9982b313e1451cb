namespace InferenceServer.Chat.Templates;

internal enum TokenKind : byte
{
    Data,
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,
}

/// <summary>One token; Text is the decoded string, the name, the digits or the operator's own characters.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, int Position)
{
    public bool IsOperator(string text) => Kind == TokenKind.Operator && Text == text;

    public bool IsName(string text) => Kind == TokenKind.Name && Text == text;

    public string Describe() => Kind switch
    {
        TokenKind.Data => "template data",
        TokenKind.VariableBegin => "'{{'",
        TokenKind.VariableEnd => "end of print statement",
        TokenKind.BlockBegin => "'{%'",
        TokenKind.BlockEnd => "end of statement block",
        TokenKind.End => "end of template",
        _ => $"'{Text}'",
    };
}
