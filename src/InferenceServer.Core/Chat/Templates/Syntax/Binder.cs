// Decides once where each variable of a template lives, by Jinja's rules: they are lexical, so no render ever looks a name up in scopes.
//
// A scope (template, loop body, macro, with, set block…) knows each name that it loads or stores. A name only loaded is that of the nearest
// enclosing scope that knows it, else of the context. A name stored gets a variable of its own in the scope, which on entry copies the enclosing
// scope's value of that name, if any. Branches of an if share their scope, but what only some of them store falls back to the outside value.

namespace InferenceServer.Chat.Templates;

internal sealed class Binder
{
    private readonly List<string> _contextNames = [];
    private readonly Dictionary<string, int> _contextIndexes = [];
    private bool _hasBlocks;

    private Binder()
    {
    }

    /// <summary>Binds all names of the template in place.</summary>
    /// <returns>How to run its top level, and the names that it reads from the context, in the order of its ContextValues.</returns>
    public static (FunctionLayout Layout, ScopeEntry Entry, string[] ContextNames) Bind(Body template)
    {
        Binder binder = new() { _hasBlocks = Walk(template).Any(statement => statement is BlockStatement) };
        FunctionLayout layout = new(null);
        Scope root = new(null, layout);
        root.Analyze(template);
        ScopeEntry entry = binder.Seal(root);
        binder.BindBody(template, root);
        return (layout, entry, [.. binder._contextNames]);
    }

    private static IEnumerable<Statement> Walk(Body body) =>
        body.Statements.SelectMany(statement => statement.Bodies.SelectMany(Walk).Prepend(statement));

    /// <summary>Whether the name is read anywhere in the body, nested scopes included.</summary>
    private static bool Mentions(Body body, string name) =>
        Walk(body).Any(statement => statement.Expressions.Any(expression => Mentions(expression, name)));

    private static bool Mentions(Expression? expression, string name) =>
        expression is not null
        && ((expression is NameExpression variable && variable.Name == name) || expression.Children.Any(child => Mentions(child, name)));

    /// <summary>Gives every variable of an analyzed scope its place and works out what its entry does.</summary>
    private ScopeEntry Seal(Scope scope)
    {
        List<ScopeEntry.Load> loads = [];
        foreach ((string name, Variable variable) in scope.Variables)
        {
            Origin origin = scope.Origins[variable];
            if (origin.Kind == OriginKind.Context && !scope.Stores.Contains(name) && !scope.IsBlock)
            {
                variable.ContextIndex = ContextIndex(name);
                continue;
            }
            variable.Slot = scope.Function.SlotCount++;
            if (origin.Kind == OriginKind.Context)
            {
                ContextIndex(name);
                loads.Add(new(ScopeEntry.LoadKind.Resolve, variable.Slot, 0, 0, name));
            }
            else if (origin.Kind == OriginKind.Outside && origin.Source!.ContextIndex >= 0)
                loads.Add(new(ScopeEntry.LoadKind.AliasContext, variable.Slot, 0, origin.Source.ContextIndex, name));
            else if (origin.Kind == OriginKind.Outside)
                loads.Add(new(ScopeEntry.LoadKind.Alias, variable.Slot, Hops(scope.Function, origin.Source!.Function), origin.Source.Slot, name));
            else if (origin.Kind == OriginKind.Nowhere)
                loads.Add(new(ScopeEntry.LoadKind.Clear, variable.Slot, 0, 0, name));
        }
        return new ScopeEntry([.. loads]);
    }

    private int ContextIndex(string name)
    {
        if (_contextIndexes.TryGetValue(name, out int index))
            return index;
        _contextNames.Add(name);
        return _contextIndexes[name] = _contextNames.Count - 1;
    }

    private static int Hops(FunctionLayout from, FunctionLayout to)
    {
        int hops = 0;
        for (FunctionLayout? function = from; function != to; function = function!.Outer)
            hops++;
        return hops;
    }

    private void BindBody(Body body, Scope scope)
    {
        foreach (Statement statement in body.Statements)
            BindStatement(statement, scope);
    }

    private void BindStatement(Statement statement, Scope scope)
    {
        bool isExported = _hasBlocks && scope.IsTopLevel;
        switch (statement)
        {
            case ForStatement loop:
                BindFor(loop, scope);
                break;
            case SetStatement set:
                BindExpression(set.Value, scope);
                BindTarget(set.Target, scope);
                set.IsExported = isExported;
                break;
            case SetBlockStatement set:
                Scope setScope = new(scope, scope.Function);
                setScope.Analyze(set.Body);
                setScope.Analyze(set.Filter);
                set.Scope = Seal(setScope);
                BindBody(set.Body, setScope);
                BindExpression(set.Filter, setScope);
                BindTarget(set.Target, scope);
                set.IsExported = isExported;
                break;
            case FilterBlockStatement filter:
                Scope filterScope = new(scope, scope.Function);
                filterScope.Analyze(filter.Body);
                filterScope.Analyze(filter.Filter);
                filter.Scope = Seal(filterScope);
                BindBody(filter.Body, filterScope);
                BindExpression(filter.Filter, filterScope);
                break;
            case WithStatement with:
                Scope withScope = new(scope, scope.Function);
                foreach (AssignTarget target in with.Targets)
                    withScope.AnalyzeTarget(target);
                withScope.Analyze(with.Body);
                with.Scope = Seal(withScope);
                foreach (AssignTarget target in with.Targets)
                    BindTarget(target, withScope);
                foreach (Expression value in with.Values)
                    BindExpression(value, scope);
                BindBody(with.Body, withScope);
                break;
            case ScopeStatement inner:
                Scope innerScope = new(scope, scope.Function);
                innerScope.Analyze(inner.Body);
                inner.Scope = Seal(innerScope);
                BindBody(inner.Body, innerScope);
                break;
            case AutoEscapeStatement escape:
                Scope escapeScope = new(scope, scope.Function);
                escapeScope.Analyze(escape.IsOn);
                escapeScope.Analyze(escape.Body);
                escape.Scope = Seal(escapeScope);
                BindExpression(escape.IsOn, escapeScope);
                BindBody(escape.Body, escapeScope);
                break;
            case MacroStatement macro:
                BindMacro(macro.Code, scope);
                BindName(macro.Name, scope);
                macro.IsExported = isExported;
                break;
            case CallBlockStatement call:
                BindExpression(call.Call, scope);
                BindMacro(call.Code, scope);
                break;
            case BlockStatement block:
                block.Layout = new FunctionLayout(null);
                Scope blockScope = new(null, block.Layout) { IsBlock = true };
                blockScope.Analyze(block.Body);
                block.Scope = Seal(blockScope);
                BindBody(block.Body, blockScope);
                break;
            default:
                foreach (Expression? expression in statement.Expressions)
                    BindExpression(expression, scope);
                foreach (Body body in statement.Bodies)
                    BindBody(body, scope);
                break;
        }
    }

    private void BindFor(ForStatement loop, Scope scope)
    {
        BindExpression(loop.Iterable, scope);
        FunctionLayout function = scope.Function;
        if (loop.IsRecursive)
            function = loop.Layout = new FunctionLayout(scope.Function);
        Scope bodyScope = new(scope, function);
        if (loop.IsRecursive || Mentions(loop.Body, "loop"))
        {
            loop.LoopVariable = new NameExpression("loop", 0);
            bodyScope.DeclareParameter("loop");
        }
        foreach ((NameExpression name, _) in loop.Target.Names)
            bodyScope.DeclareParameter(name.Name);
        bodyScope.Analyze(loop.Body);
        loop.Scope = Seal(bodyScope);
        if (loop.LoopVariable is not null)
            BindName(loop.LoopVariable, bodyScope);
        BindTarget(loop.Target, bodyScope);
        BindBody(loop.Body, bodyScope);

        if (loop.Test is not null)
        {
            Scope testScope = new(scope, function);
            foreach ((NameExpression name, _) in loop.TestTarget.Names)
                testScope.DeclareParameter(name.Name);
            testScope.Analyze(loop.Test);
            loop.TestScope = Seal(testScope);
            BindTarget(loop.TestTarget, testScope);
            BindExpression(loop.Test, testScope);
        }
        if (loop.Otherwise is not null)
        {
            Scope elseScope = new(scope, function);
            elseScope.Analyze(loop.Otherwise);
            loop.ElseScope = Seal(elseScope);
            BindBody(loop.Otherwise, elseScope);
        }
    }

    private void BindMacro(MacroCode code, Scope scope)
    {
        code.Layout = new FunctionLayout(scope.Function);
        Scope macroScope = new(scope, code.Layout);
        NameExpression? Implicit(string name)
        {
            if (!Mentions(code.Body, name) || code.Parameters.Any(parameter => parameter.Name == name))
                return null;
            macroScope.DeclareParameter(name);
            return new NameExpression(name, 0);
        }
        foreach (NameExpression parameter in code.Parameters)
            macroScope.DeclareParameter(parameter.Name);
        code.Caller = Implicit("caller");
        code.Varargs = Implicit("varargs");
        code.Kwargs = Implicit("kwargs");
        foreach (Expression? value in code.Defaults)
            macroScope.Analyze(value);
        macroScope.Analyze(code.Body);
        code.Scope = Seal(macroScope);
        foreach (NameExpression? name in (NameExpression?[])[.. code.Parameters, code.Caller, code.Varargs, code.Kwargs])
            if (name is not null)
                BindName(name, macroScope);
        foreach (Expression? value in code.Defaults)
            BindExpression(value, macroScope);
        BindBody(code.Body, macroScope);
    }

    private static void BindTarget(AssignTarget target, Scope scope)
    {
        foreach ((NameExpression name, _) in target.Names)
            BindName(name, scope);
    }

    private static void BindExpression(Expression? expression, Scope scope)
    {
        if (expression is null)
            return;
        if (expression is NameExpression name)
            BindName(name, scope);
        foreach (Expression? child in expression.Children)
            BindExpression(child, scope);
    }

    private static void BindName(NameExpression name, Scope scope)
    {
        Variable variable = scope.Find(name.Name) ?? throw new InvalidOperationException($"the name '{name.Name}' was not analyzed");
        if (variable.ContextIndex >= 0)
            name.BindToContext(variable.ContextIndex);
        else
            name.Bind(Hops(scope.Function, variable.Function), variable.Slot);
    }

    private enum OriginKind : byte
    {
        /// <summary>Assigned by whoever enters the scope: a parameter or loop target.</summary>
        Parameter,

        /// <summary>The context's value.</summary>
        Context,

        /// <summary>A copy of an enclosing scope's variable.</summary>
        Outside,

        /// <summary>Undefined until stored.</summary>
        Nowhere,
    }

    private readonly record struct Origin(OriginKind Kind, Variable? Source = null);

    private sealed class Variable
    {
        public Variable(FunctionLayout function)
        {
            Function = function;
        }

        public FunctionLayout Function { get; }

        public int Slot { get; set; } = -1;

        public int ContextIndex { get; set; } = -1;
    }

    private sealed class Scope
    {
        private readonly Scope? _parent;

        // Shared with the copies that branches work on: a name has one variable in a scope whichever branch meets it first.
        private readonly Dictionary<string, Variable> _variables;

        public Scope(Scope? parent, FunctionLayout function)
        {
            _parent = parent;
            _variables = [];
            Function = function;
        }

        private Scope(Scope original)
        {
            _parent = original._parent;
            _variables = original._variables;
            Function = original.Function;
            Variables = new(original.Variables);
            Origins = new(original.Origins);
            Stores = [.. original.Stores];
        }

        public FunctionLayout Function { get; }

        public bool IsBlock { get; init; }

        public bool IsTopLevel => _parent is null && !IsBlock;

        public Dictionary<string, Variable> Variables { get; } = [];

        public Dictionary<Variable, Origin> Origins { get; } = [];

        public HashSet<string> Stores { get; } = [];

        public Variable? Find(string name) => Variables.TryGetValue(name, out Variable? variable) ? variable : _parent?.Find(name);

        public void DeclareParameter(string name)
        {
            Stores.Add(name);
            Define(name, new Origin(OriginKind.Parameter));
        }

        public void Analyze(Expression? expression)
        {
            if (expression is null)
                return;
            if (expression is NameExpression name && Find(name.Name) is null)
                Define(name.Name, new Origin(OriginKind.Context));
            foreach (Expression? child in expression.Children)
                Analyze(child);
        }

        public void Analyze(Body body)
        {
            foreach (Statement statement in body.Statements)
                Analyze(statement);
        }

        public void AnalyzeTarget(AssignTarget target)
        {
            foreach ((NameExpression name, bool isNamespace) in target.Names)
            {
                if (isNamespace)
                    Analyze(name);
                else
                    Store(name.Name);
            }
        }

        private void Analyze(Statement statement)
        {
            switch (statement)
            {
                case IfStatement branch:
                    AnalyzeIf(branch, 0);
                    break;
                case ForStatement loop:
                    Analyze(loop.Iterable);
                    break;
                case SetStatement set:
                    Analyze(set.Value);
                    AnalyzeTarget(set.Target);
                    break;
                case SetBlockStatement set:
                    AnalyzeTarget(set.Target);
                    break;
                case MacroStatement macro:
                    Store(macro.Name.Name);
                    break;
                case CallBlockStatement call:
                    Analyze(call.Call);
                    break;
                case AutoEscapeStatement or ScopeStatement or BlockStatement:
                    break;
                default:
                    // Filter blocks: their filter; with: its values; output: its value. Bodies are scopes of their own.
                    foreach (Expression? expression in statement.Expressions)
                        Analyze(expression);
                    break;
            }
        }

        /// <summary>The condition at <paramref name="index"/> and what follows it: an elif counts as an if inside the branch of its own.</summary>
        private void AnalyzeIf(IfStatement statement, int index)
        {
            Analyze(statement.Tests[index]);
            Scope body = new(this);
            body.Analyze(statement.Branches[index]);
            Scope elseIfs = new(this);
            for (int i = index + 1; i < statement.Tests.Length; i++)
                elseIfs.AnalyzeElseIf(statement, i);
            Scope otherwise = new(this);
            if (statement.Otherwise is not null)
                otherwise.Analyze(statement.Otherwise);
            Merge([body, elseIfs, otherwise]);
        }

        private void AnalyzeElseIf(IfStatement statement, int index)
        {
            Analyze(statement.Tests[index]);
            Scope body = new(this);
            body.Analyze(statement.Branches[index]);
            Merge([body]);
        }

        private void Merge(Scope[] branches)
        {
            HashSet<string> stores = [.. branches.SelectMany(branch => branch.Stores)];
            stores.ExceptWith(Stores);
            foreach (Scope branch in branches)
            {
                foreach ((string name, Variable variable) in branch.Variables)
                    Variables[name] = variable;
                foreach ((Variable variable, Origin origin) in branch.Origins)
                    Origins[variable] = origin;
                Stores.UnionWith(branch.Stores);
            }
            foreach (string name in stores)
            {
                Variable? outside = _parent?.Find(name);
                Origins[Find(name)!] = outside is null ? new Origin(OriginKind.Context) : new Origin(OriginKind.Outside, outside);
            }
        }

        private void Store(string name)
        {
            Stores.Add(name);
            if (Variables.ContainsKey(name))
                return;
            Variable? outside = _parent?.Find(name);
            Define(name, outside is null ? new Origin(OriginKind.Nowhere) : new Origin(OriginKind.Outside, outside));
        }

        private void Define(string name, Origin origin)
        {
            if (!_variables.TryGetValue(name, out Variable? variable))
                _variables[name] = variable = new Variable(Function);
            Variables[name] = variable;
            Origins[variable] = origin;
        }
    }
}
