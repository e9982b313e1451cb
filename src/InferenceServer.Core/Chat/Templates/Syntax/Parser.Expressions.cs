using System.Globalization;
using System.Numerics;

namespace InferenceServer.Chat.Templates;

internal sealed partial class Parser
{
    private static readonly Dictionary<string, Comparison> Comparisons = new()
    {
        ["=="] = Comparison.Equal,
        ["!="] = Comparison.NotEqual,
        ["<"] = Comparison.Less,
        ["<="] = Comparison.LessOrEqual,
        [">"] = Comparison.Greater,
        [">="] = Comparison.GreaterOrEqual,
    };

    /// <summary>The tree that operators in a row build is as deep as the row is long.</summary>
    private Expression Checked(Expression expression)
    {
        if (expression.Depth > _maxNesting)
            Fail($"an expression is nested more than {_maxNesting} deep");
        return expression;
    }

    private Expression ParseExpression()
    {
        EnterNesting();
        Expression expression = ParseOr();
        while (SkipName("if"))
        {
            Expression test = ParseOr();
            Expression? otherwise = SkipName("else") ? ParseExpression() : null;
            expression = Checked(new ConditionalExpression(test, expression, otherwise));
        }
        _nesting--;
        return expression;
    }

    private Expression ParseOr()
    {
        Expression left = ParseAnd();
        while (SkipName("or"))
            left = Checked(new LogicalExpression(left, ParseAnd(), isAnd: false));
        return left;
    }

    private Expression ParseAnd()
    {
        Expression left = ParseNot();
        while (SkipName("and"))
            left = Checked(new LogicalExpression(left, ParseNot(), isAnd: true));
        return left;
    }

    private Expression ParseNot()
    {
        if (!SkipName("not"))
            return ParseCompare();
        EnterNesting();
        Expression operand = ParseNot();
        _nesting--;
        return Checked(new NotExpression(operand));
    }

    private Expression ParseCompare()
    {
        Expression first = ParseSum();
        List<Comparison> operators = [];
        List<Expression> operands = [];
        while (true)
        {
            if (Current.Kind == TokenKind.Operator && Comparisons.TryGetValue(Current.Text, out Comparison comparison))
                _at++;
            else if (SkipName("in"))
                comparison = Comparison.In;
            else if (Current.IsName("not") && Next.IsName("in"))
                (comparison, _at) = (Comparison.NotIn, _at + 2);
            else
                break;
            operators.Add(comparison);
            operands.Add(ParseSum());
        }
        return operators.Count == 0 ? first : Checked(new CompareExpression(first, [.. operators], [.. operands]));
    }

    private Expression ParseSum()
    {
        Expression left = ParseConcat();
        while (Current.IsOperator("+") || Current.IsOperator("-"))
        {
            if (Take().Text == "-")
            {
                left = Checked(new ArithmeticExpression("-", left, ParseConcat()));
                continue;
            }
            List<Expression> terms = [left, ParseConcat()];
            while (SkipOperator("+"))
                terms.Add(ParseConcat());
            left = Checked(new AddExpression([.. terms]));
        }
        return left;
    }

    private Expression ParseConcat()
    {
        Expression first = ParseProduct();
        if (!Current.IsOperator("~"))
            return first;
        List<Expression> operands = [first];
        while (SkipOperator("~"))
            operands.Add(ParseProduct());
        return Checked(new ConcatExpression([.. operands]));
    }

    private Expression ParseProduct()
    {
        Expression left = ParsePower();
        while (Current.Kind == TokenKind.Operator && Current.Text is "*" or "/" or "//" or "%")
        {
            string op = Take().Text;
            left = Checked(new ArithmeticExpression(op, left, ParsePower()));
        }
        return left;
    }

    private Expression ParsePower()
    {
        Expression left = ParseUnary(withFilters: true);
        while (SkipOperator("**"))
            left = Checked(new ArithmeticExpression("**", left, ParseUnary(withFilters: true)));
        return left;
    }

    private Expression ParseUnary(bool withFilters)
    {
        Expression expression;
        if (Current.IsOperator("-") || Current.IsOperator("+"))
        {
            EnterNesting();
            bool isNegative = Take().Text == "-";
            expression = Checked(new UnaryExpression(ParseUnary(withFilters: false), isNegative));
            _nesting--;
        }
        else
        {
            expression = ParsePrimary();
        }
        expression = ParsePostfix(expression);
        return withFilters ? ParseFiltersAndTests(expression) : expression;
    }

    private Expression ParsePrimary()
    {
        Token token = Take();
        switch (token.Kind)
        {
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new ConstantExpression(TemplateValue.True),
                    "false" or "False" => new ConstantExpression(TemplateValue.False),
                    "none" or "None" => new ConstantExpression(TemplateValue.None),
                    _ => new NameExpression(token.Text, token.Position),
                };
            case TokenKind.String:
                string text = token.Text;
                while (Current.Kind == TokenKind.String)
                    text += Take().Text;
                return new ConstantExpression(text);
            case TokenKind.Integer:
                return new ConstantExpression(ParseInteger(token));
            case TokenKind.Float:
                return new ConstantExpression(TemplateValue.From(double.Parse(token.Text, CultureInfo.InvariantCulture)));
        }
        if (token.IsOperator("("))
        {
            Expression inner = ParseTuple(isParenthesized: true);
            ExpectOperator(")");
            return inner;
        }
        if (token.IsOperator("["))
            return new ListExpression(ParseItems("]"), isTuple: false);
        if (token.IsOperator("{"))
            return ParseDict();
        Fail($"unexpected {token.Describe()}", token.Position);
        return null;
    }

    private TemplateValue ParseInteger(Token token)
    {
        string text = token.Text;
        int numberBase = text.Length > 2 ? text[1] switch { 'x' or 'X' => 16, 'o' or 'O' => 8, 'b' or 'B' => 2, _ => 10 } : 10;
        // A thousand digits: past any use, and parsing stays cheap.
        if (text.Length > 1000 || !PythonNumbers.TryParseInteger(numberBase == 10 ? text : text[2..], numberBase, out BigInteger value))
        {
            Fail("this integer is malformed or too long", token.Position);
            return default;
        }
        return TemplateValue.From(value);
    }

    private Expression[] ParseItems(string end)
    {
        List<Expression> items = [];
        while (!Current.IsOperator(end))
        {
            if (items.Count > 0)
                ExpectOperator(",");
            if (Current.IsOperator(end))
                break;
            items.Add(ParseExpression());
        }
        _at++;
        return [.. items];
    }

    private DictExpression ParseDict()
    {
        List<Expression> keysAndValues = [];
        while (!Current.IsOperator("}"))
        {
            if (keysAndValues.Count > 0)
                ExpectOperator(",");
            if (Current.IsOperator("}"))
                break;
            keysAndValues.Add(ParseExpression());
            ExpectOperator(":");
            keysAndValues.Add(ParseExpression());
        }
        _at++;
        return new DictExpression([.. keysAndValues]);
    }

    /// <summary>An expression, or a tuple where commas follow. It ends at the end of its tag or parenthesis, or at the name <paramref name="end"/>.</summary>
    private Expression ParseTuple(bool allowsConditional = true, string? end = null, bool isParenthesized = false)
    {
        List<Expression> items = [];
        bool isTuple = false;
        while (true)
        {
            if (items.Count > 0)
                ExpectOperator(",");
            if (Current.Kind is TokenKind.VariableEnd or TokenKind.BlockEnd || Current.IsOperator(")") || (end is not null && Current.IsName(end)))
                break;
            items.Add(allowsConditional ? ParseExpression() : ParseNestedOr());
            if (!Current.IsOperator(","))
                break;
            isTuple = true;
        }
        if (isTuple)
            return Checked(new ListExpression([.. items], isTuple: true));
        if (items.Count == 1)
            return items[0];
        if (!isParenthesized)
            Fail($"expected an expression, got {Current.Describe()}");
        return new ListExpression([], isTuple: true);
    }

    private Expression ParseNestedOr()
    {
        EnterNesting();
        Expression expression = ParseOr();
        _nesting--;
        return expression;
    }

    private AssignTarget ParseTarget(bool allowsNamespace, string end)
    {
        List<AssignTarget> items = [];
        bool isTuple = false;
        EnterNesting();
        while (!(Current.IsOperator(end) || Current.IsName(end) || Current.Kind == TokenKind.BlockEnd || Current.IsOperator(")")))
        {
            items.Add(ParseTargetItem(allowsNamespace));
            if (!SkipOperator(","))
                break;
            isTuple = true;
        }
        _nesting--;
        if (items.Count == 0)
            Fail($"expected a name to assign to, got {Current.Describe()}");
        return isTuple ? new AssignTarget([.. items]) : items[0];
    }

    private AssignTarget ParseTargetItem(bool allowsNamespace)
    {
        int position = Current.Position;
        if (SkipOperator("("))
        {
            AssignTarget inner = ParseTarget(allowsNamespace, ")");
            ExpectOperator(")");
            return inner;
        }
        string name = ExpectName();
        if (name is "true" or "false" or "none" or "True" or "False" or "None")
            Fail($"can't assign to '{name}'", position);
        if (allowsNamespace && SkipOperator("."))
            return new AssignTarget(new NameExpression(name, position), ExpectName());
        if (Current.IsOperator("[") || Current.IsOperator("."))
            Fail("can't assign to an attribute or item: only names and attributes of namespaces can be set");
        return new AssignTarget(new NameExpression(name, position));
    }

    private Expression ParsePostfix(Expression expression)
    {
        while (true)
        {
            if (SkipOperator("."))
                expression = ParseAttribute(expression);
            else if (SkipOperator("["))
                expression = ParseSubscript(expression);
            else if (Current.IsOperator("("))
                expression = new CallExpression(expression, ParseArguments());
            else
                return expression;
            Checked(expression);
        }
    }

    private Expression ParseAttribute(Expression target)
    {
        Token token = Take();
        if (token.Kind == TokenKind.Name)
            return new AttributeExpression(target, token.Text);
        if (token.Kind == TokenKind.Integer)
            return new SubscriptExpression(target, new ConstantExpression(ParseInteger(token)));
        Fail($"expected a name or number after '.', got {token.Describe()}", token.Position);
        return null;
    }

    private Expression ParseSubscript(Expression target)
    {
        List<Expression> keys = [];
        bool isTuple = false;
        while (!Current.IsOperator("]"))
        {
            if (keys.Count > 0)
            {
                ExpectOperator(",");
                isTuple = true;
            }
            if (isTuple)
                keys.Add(ParseExpression());
            else if (TryParseSlice(target, out Expression? slice, out Expression? key))
                return slice;
            else
                keys.Add(key!);
        }
        _at++;
        if (keys.Count == 0)
            Fail("expected a subscript expression");
        return new SubscriptExpression(target, isTuple ? new ListExpression([.. keys], isTuple: true) : keys[0]);
    }

    /// <summary>Either a whole slice up to its ']', or the plain key that stood there.</summary>
    private bool TryParseSlice(Expression target, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Expression? slice, out Expression? key)
    {
        key = Current.IsOperator(":") ? null : ParseExpression();
        slice = null;
        if (!SkipOperator(":"))
            return false;
        Expression? stop = Current.IsOperator(":") || Current.IsOperator("]") ? null : ParseExpression();
        Expression? step = SkipOperator(":") && !Current.IsOperator("]") ? ParseExpression() : null;
        ExpectOperator("]");
        slice = new SliceExpression(target, key, stop, step);
        return true;
    }

    private Expression ParseFiltersAndTests(Expression expression)
    {
        while (true)
        {
            if (Current.IsOperator("|"))
                expression = ParseFilters(expression)!;
            else if (SkipName("is"))
                expression = ParseTest(expression);
            else if (Current.IsOperator("("))
                expression = new CallExpression(expression, ParseArguments());
            else
                return expression;
            Checked(expression);
        }
    }

    /// <summary>Filters in a row, or null where none stands; inline the first one has no '|' before it.</summary>
    private Expression? ParseFilters(Expression? value, bool isInline = false)
    {
        while (isInline || SkipOperator("|"))
        {
            isInline = false;
            string name = ExpectDottedName();
            value = Checked(new FilterExpression(value, name, Current.IsOperator("(") ? ParseArguments() : ArgumentList.Empty));
        }
        return value;
    }

    private string ExpectDottedName()
    {
        string name = ExpectName();
        while (SkipOperator("."))
            name += "." + ExpectName();
        return name;
    }

    private Expression ParseTest(Expression value)
    {
        bool isNegated = SkipName("not");
        string name = ExpectDottedName();
        ArgumentList arguments = ArgumentList.Empty;
        bool startsArgument = Current.Kind is TokenKind.Name or TokenKind.String or TokenKind.Integer or TokenKind.Float
            || Current.IsOperator("[") || Current.IsOperator("{");
        if (Current.IsOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (startsArgument && !Current.IsName("else") && !Current.IsName("or") && !Current.IsName("and"))
        {
            if (Current.IsName("is"))
                Fail("tests cannot be chained with 'is'");
            arguments = new ArgumentList([ParsePostfix(ParsePrimary())], [], [], null, null);
        }
        Expression test = Checked(new TestExpression(value, name, arguments));
        return isNegated ? new NotExpression(test) : test;
    }

    private ArgumentList ParseArguments()
    {
        List<Expression> positional = [];
        List<string> names = [];
        List<Expression> named = [];
        Expression? spread = null;
        Expression? namedSpread = null;
        int position = Current.Position;
        bool isFirst = true;
        ExpectOperator("(");
        while (!Current.IsOperator(")"))
        {
            if (!isFirst)
                ExpectOperator(",");
            isFirst = false;
            if (Current.IsOperator(")"))
                break;
            bool isInvalid = false;
            if (SkipOperator("*"))
            {
                isInvalid = spread is not null || namedSpread is not null;
                spread = ParseExpression();
            }
            else if (SkipOperator("**"))
            {
                isInvalid = namedSpread is not null;
                namedSpread = ParseExpression();
            }
            else if (Current.Kind == TokenKind.Name && Next.IsOperator("="))
            {
                isInvalid = namedSpread is not null || names.Contains(Current.Text);
                names.Add(Take().Text);
                _at++;
                named.Add(ParseExpression());
            }
            else
            {
                isInvalid = spread is not null || namedSpread is not null || named.Count > 0;
                positional.Add(ParseExpression());
            }
            if (isInvalid)
                Fail("invalid order of arguments in a call", position);
        }
        _at++;
        return new ArgumentList([.. positional], [.. names], [.. named], spread, namedSpread);
    }
}
