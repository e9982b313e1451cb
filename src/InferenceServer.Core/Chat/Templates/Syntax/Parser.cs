// Builds the tree of a template from its tokens: statements here, expressions in the other part. Nesting is bounded, so no source overflows the stack.

using System.Diagnostics.CodeAnalysis;

namespace InferenceServer.Chat.Templates;

internal sealed partial class Parser
{
    private readonly List<Token> _tokens;
    private readonly List<int> _lineStarts = [0];
    private readonly int _maxNesting;
    private readonly HashSet<string> _blockNames = [];
    private readonly Stack<string> _open = new();
    private int _at;
    private int _nesting;
    private int _loopDepth;

    private Parser(string source, int maxNesting)
    {
        _maxNesting = maxNesting;
        _tokens = Lexer.Tokenize(source);
        for (int i = 0; i < source.Length; i++)
            if (source[i] == '\n')
                _lineStarts.Add(i + 1);
    }

    /// <param name="normalizedSource">A source that Lexer.Normalize made.</param>
    /// <param name="maxNesting">See <see cref="ChatTemplateLimits.MaxNesting"/>.</param>
    public static Body Parse(string normalizedSource, int maxNesting)
    {
        Parser parser = new(normalizedSource, maxNesting);
        return parser.ParseBody([]);
    }

    private Token Current => _tokens[_at];

    private Token Next => _tokens[Math.Min(_at + 1, _tokens.Count - 1)];

    private Token Take() => _tokens[_at < _tokens.Count - 1 ? _at++ : _at];

    private bool SkipName(string name)
    {
        if (!Current.IsName(name))
            return false;
        _at++;
        return true;
    }

    private bool SkipOperator(string text)
    {
        if (!Current.IsOperator(text))
            return false;
        _at++;
        return true;
    }

    private string ExpectName()
    {
        if (Current.Kind != TokenKind.Name)
            Fail($"expected a name, got {Current.Describe()}");
        return Take().Text;
    }

    private void ExpectOperator(string text)
    {
        if (!SkipOperator(text))
            Fail($"expected '{text}', got {Current.Describe()}");
    }

    private void Expect(TokenKind kind)
    {
        if (Current.Kind != kind)
            Fail($"expected {new Token(kind, "", 0).Describe()}, got {Current.Describe()}");
        _at++;
    }

    [DoesNotReturn]
    private void Fail(string cause) => Fail(cause, Current.Position);

    [DoesNotReturn]
    private void Fail(string cause, int position)
    {
        (int line, int column) = Locate(position);
        throw new TemplateException(cause, line, column);
    }

    private (int Line, int Column) Locate(int position)
    {
        int at = _lineStarts.BinarySearch(position);
        int line = at >= 0 ? at : ~at - 1;
        return (line + 1, position - _lineStarts[line] + 1);
    }

    private void EnterNesting()
    {
        if (++_nesting > _maxNesting)
            Fail($"expressions or statements are nested more than {_maxNesting} deep");
        RuntimeGuard.Stack();
    }

    /// <summary>Statements up to a tag whose name is one of <paramref name="ends"/>, left current; with no ends, up to the template's end.</summary>
    private Body ParseBody(string[] ends)
    {
        EnterNesting();
        List<Statement> statements = [];
        while (true)
        {
            Token token = Current;
            if (token.Kind == TokenKind.End)
            {
                if (ends.Length > 0)
                    Fail($"the template ends, but '{_open.Peek()}' is still open; looking for {string.Join(" or ", ends)}");
                break;
            }
            (int line, int column) = Locate(token.Position);
            _at++;
            if (token.Kind == TokenKind.Data)
            {
                statements.Add(new OutputStatement(new TextExpression(token.Text)) { Line = line, Column = column });
            }
            else if (token.Kind == TokenKind.VariableBegin)
            {
                Expression value = ParseTuple();
                Expect(TokenKind.VariableEnd);
                statements.Add(new OutputStatement(value) { Line = line, Column = column });
            }
            else
            {
                if (Current.Kind == TokenKind.Name && ends.Contains(Current.Text))
                    break;
                statements.Add(ParseStatement(line, column));
                Expect(TokenKind.BlockEnd);
            }
        }
        _nesting--;
        return new Body([.. statements]);
    }

    /// <summary>A body that ends at <paramref name="end"/>, whose name is taken.</summary>
    private Body ParseBodyUntil(string end)
    {
        Body body = ParseBodyAfterTag([end]);
        _at++;
        return body;
    }

    private Body ParseBodyAfterTag(string[] ends)
    {
        SkipOperator(":");
        Expect(TokenKind.BlockEnd);
        return ParseBody(ends);
    }

    private Statement ParseStatement(int line, int column)
    {
        Token tag = Current;
        if (tag.Kind != TokenKind.Name)
            Fail($"expected the name of a statement, got {tag.Describe()}");
        _at++;
        _open.Push(tag.Text);
        Statement statement = tag.Text switch
        {
            "for" => ParseFor(line, column),
            "if" => ParseIf(line, column),
            "set" => ParseSet(line, column),
            "macro" => ParseMacro(tag.Position, line, column),
            "call" => ParseCallBlock(line, column),
            "filter" => ParseFilterBlock(line, column),
            "with" => ParseWith(line, column),
            "generation" => new ScopeStatement(ParseBodyUntil("endgeneration")) { Line = line, Column = column },
            "autoescape" => new AutoEscapeStatement(ParseExpression(), ParseBodyUntil("endautoescape")) { Line = line, Column = column },
            "do" => new DoStatement(ParseTuple()) { Line = line, Column = column },
            "print" => ParsePrint(line, column),
            "break" => ParseJump(Completion.Break, tag, line, column),
            "continue" => ParseJump(Completion.Continue, tag, line, column),
            "block" => ParseBlock(line, column),
            "include" or "import" or "from" or "extends" => FailOnOtherFiles(tag),
            _ => FailOnUnknownTag(tag),
        };
        _open.Pop();
        return statement;
    }

    [DoesNotReturn]
    private Statement FailOnOtherFiles(Token tag)
    {
        Fail($"'{tag.Text}' is not supported: a chat template is a single file", tag.Position);
        return null;
    }

    [DoesNotReturn]
    private Statement FailOnUnknownTag(Token tag)
    {
        _open.Pop();
        string inner = _open.Count > 0 ? $"; the innermost open statement is '{_open.Peek()}'" : "";
        Fail($"unknown statement '{tag.Text}'{inner}", tag.Position);
        return null;
    }

    private ForStatement ParseFor(int line, int column)
    {
        int position = Current.Position;
        AssignTarget target = ParseTarget(allowsNamespace: false, "in");
        if (!SkipName("in"))
            Fail($"expected 'in', got {Current.Describe()}");
        if (target.Names.Any(name => name.Name.Name == "loop"))
            Fail("can't assign to the special loop variable in a for-loop", position);
        Expression iterable = ParseTuple(allowsConditional: false, "recursive");
        Expression? test = SkipName("if") ? ParseExpression() : null;
        bool isRecursive = SkipName("recursive");
        _loopDepth++;
        Body body = ParseBodyAfterTag(["endfor", "else"]);
        _loopDepth--;
        Body? otherwise = Take().Text == "endfor" ? null : ParseBodyUntil("endfor");
        return new ForStatement(target, iterable, test, isRecursive, body, otherwise) { Line = line, Column = column };
    }

    private IfStatement ParseIf(int line, int column)
    {
        List<Expression> tests = [];
        List<Body> bodies = [];
        while (true)
        {
            tests.Add(ParseTuple(allowsConditional: false));
            bodies.Add(ParseBodyAfterTag(["elif", "else", "endif"]));
            string end = Take().Text;
            if (end == "elif")
                continue;
            Body? otherwise = end == "else" ? ParseBodyUntil("endif") : null;
            return new IfStatement([.. tests], [.. bodies], otherwise) { Line = line, Column = column };
        }
    }

    private Statement ParseSet(int line, int column)
    {
        AssignTarget target = ParseTarget(allowsNamespace: true, "=");
        if (SkipOperator("="))
            return new SetStatement(target, ParseTuple()) { Line = line, Column = column };
        FilterExpression? filter = (FilterExpression?)ParseFilters(null);
        return new SetBlockStatement(target, filter, ParseIsolatedBody("endset")) { Line = line, Column = column };
    }

    /// <summary>A body out of which no break or continue leads.</summary>
    private Body ParseIsolatedBody(string end)
    {
        int loopDepth = _loopDepth;
        _loopDepth = 0;
        Body body = ParseBodyUntil(end);
        _loopDepth = loopDepth;
        return body;
    }

    private MacroStatement ParseMacro(int position, int line, int column)
    {
        NameExpression name = new(ExpectName(), position);
        (NameExpression[] parameters, Expression?[] defaults) = ParseSignature();
        MacroCode code = new(name.Name, parameters, defaults, ParseIsolatedBody("endmacro"));
        return new MacroStatement(name, code) { Line = line, Column = column };
    }

    private CallBlockStatement ParseCallBlock(int line, int column)
    {
        (NameExpression[] parameters, Expression?[] defaults) = Current.IsOperator("(") ? ParseSignature() : ([], []);
        int position = Current.Position;
        if (ParseExpression() is not CallExpression call)
        {
            Fail("a call block needs a call", position);
            return null;
        }
        MacroCode code = new("caller", parameters, defaults, ParseIsolatedBody("endcall"));
        return new CallBlockStatement(call, code) { Line = line, Column = column };
    }

    private (NameExpression[] Parameters, Expression?[] Defaults) ParseSignature()
    {
        List<NameExpression> parameters = [];
        List<Expression?> defaults = [];
        ExpectOperator("(");
        while (!Current.IsOperator(")"))
        {
            if (parameters.Count > 0)
                ExpectOperator(",");
            if (Current.IsOperator(")"))
                break;
            int position = Current.Position;
            parameters.Add(new NameExpression(ExpectName(), position));
            if (SkipOperator("="))
                defaults.Add(ParseExpression());
            else if (defaults.Count > 0 && defaults[^1] is not null)
                Fail("a parameter without a default follows one with a default", position);
            else
                defaults.Add(null);
        }
        _at++;
        return ([.. parameters], [.. defaults]);
    }

    private FilterBlockStatement ParseFilterBlock(int line, int column)
    {
        FilterExpression filter = (FilterExpression)ParseFilters(null, isInline: true)!;
        return new FilterBlockStatement(filter, ParseIsolatedBody("endfilter")) { Line = line, Column = column };
    }

    private WithStatement ParseWith(int line, int column)
    {
        List<AssignTarget> targets = [];
        List<Expression> values = [];
        while (Current.Kind != TokenKind.BlockEnd && !Current.IsOperator(":"))
        {
            if (targets.Count > 0)
                ExpectOperator(",");
            targets.Add(ParseTarget(allowsNamespace: false, "="));
            ExpectOperator("=");
            values.Add(ParseExpression());
        }
        return new WithStatement([.. targets], [.. values], ParseBodyUntil("endwith")) { Line = line, Column = column };
    }

    private OutputStatement ParsePrint(int line, int column)
    {
        List<Expression> values = [];
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (values.Count > 0)
                ExpectOperator(",");
            values.Add(ParseExpression());
        }
        return new OutputStatement(new ConcatExpression([.. values])) { Line = line, Column = column };
    }

    private JumpStatement ParseJump(Completion completion, Token tag, int line, int column)
    {
        if (_loopDepth == 0)
            Fail($"'{tag.Text}' outside of a loop", tag.Position);
        return new JumpStatement(completion) { Line = line, Column = column };
    }

    private BlockStatement ParseBlock(int line, int column)
    {
        int position = Current.Position;
        string name = ExpectName();
        if (!_blockNames.Add(name))
            Fail($"block '{name}' defined twice", position);
        if (Current.Kind == TokenKind.Name)
            Fail($"'{Current.Text}' blocks are not supported: a chat template is a single file");
        Body body = ParseIsolatedBody("endblock");
        SkipName(name);
        return new BlockStatement(name, body) { Line = line, Column = column };
    }
}
