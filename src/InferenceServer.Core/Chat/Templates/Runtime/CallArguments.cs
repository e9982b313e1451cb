namespace InferenceServer.Chat.Templates;

/// <summary>The arguments of one call.</summary>
internal readonly struct CallArguments
{
    public static readonly CallArguments None = new([], []);

    public CallArguments(TemplateValue[] positional, KeyValuePair<string, TemplateValue>[] named)
    {
        Positional = positional;
        Named = named;
    }

    public TemplateValue[] Positional { get; }

    public KeyValuePair<string, TemplateValue>[] Named { get; }

    public bool TryGetNamed(string name, out TemplateValue value)
    {
        foreach (KeyValuePair<string, TemplateValue> argument in Named)
        {
            if (argument.Key == name)
            {
                value = argument.Value;
                return true;
            }
        }
        value = default;
        return false;
    }

    /// <summary>The arguments without the first <paramref name="count"/> positional ones.</summary>
    public CallArguments Skip(int count) => new(Positional[Math.Min(count, Positional.Length)..], Named);
}

/// <summary>A filter, test, global function or method of ours.</summary>
internal sealed class Builtin : CallableObject
{
    private readonly string[] _parameters;
    private readonly int _required;
    private readonly Func<RenderState, TemplateValue, TemplateValue[], TemplateValue>? _body;
    private readonly Func<RenderState, TemplateValue, CallArguments, TemplateValue>? _variadicBody;
    private readonly TemplateValue[] _noArguments;

    /// <param name="name">As a template writes it.</param>
    /// <param name="parameters">Names separated by spaces, those with a default marked by '?'; an absent argument reaches the body as a missing value.</param>
    /// <param name="body">Gets what the filter, test or method is applied to, then a value for each parameter.</param>
    public Builtin(string name, string parameters, Func<RenderState, TemplateValue, TemplateValue[], TemplateValue> body)
    {
        Name = name;
        string[] words = parameters.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        _parameters = [.. words.Select(word => word.TrimEnd('?'))];
        _required = words.Count(word => !word.EndsWith('?'));
        _body = body;
        _noArguments = new TemplateValue[_parameters.Length];
    }

    public Builtin(string name, Func<RenderState, TemplateValue, CallArguments, TemplateValue> body)
    {
        Name = name;
        _parameters = [];
        _variadicBody = body;
        _noArguments = [];
    }

    public string Name { get; }

    /// <summary>Changes the list or dict that it is called on: refused on frozen ones.</summary>
    public bool Mutates { get; init; }

    public override TemplateValue Call(RenderState state, CallArguments arguments) => Invoke(state, default, arguments);

    public TemplateValue Invoke(RenderState state, TemplateValue self, CallArguments arguments)
    {
        state.Charge();
        if (_variadicBody is not null)
            return _variadicBody(state, self, arguments);
        if (_required == 0 && arguments.Positional.Length == 0 && arguments.Named.Length == 0)
            return _body!(state, self, _noArguments);
        return _body!(state, self, Bind(arguments));
    }

    private TemplateValue[] Bind(CallArguments arguments)
    {
        if (arguments.Positional.Length > _parameters.Length)
            throw new TemplateException($"{Name}() takes at most {_parameters.Length} argument(s), {arguments.Positional.Length} given");
        TemplateValue[] values = new TemplateValue[_parameters.Length];
        arguments.Positional.CopyTo(values, 0);
        foreach ((string name, TemplateValue value) in arguments.Named)
        {
            int at = Array.IndexOf(_parameters, name);
            if (at < 0)
                throw new TemplateException($"{Name}() got an unexpected keyword argument '{name}'");
            if (at < arguments.Positional.Length)
                throw new TemplateException($"{Name}() got multiple values for argument '{name}'");
            values[at] = value;
        }
        for (int i = 0; i < _required; i++)
            if (values[i].IsMissing)
                throw new TemplateException($"{Name}() missing required argument '{_parameters[i]}'");
        return values;
    }
}

/// <summary>A method together with the value that it was taken from.</summary>
internal sealed class BoundMethod : CallableObject
{
    private readonly Builtin _method;
    private readonly TemplateValue _self;

    public BoundMethod(Builtin method, TemplateValue self)
    {
        _method = method;
        _self = self;
    }

    internal override string TypeName => "builtin_function_or_method";

    public string Name => _method.Name;

    public TemplateValue Self => _self;

    public override TemplateValue Call(RenderState state, CallArguments arguments) => _method.Invoke(state, _self, arguments);
}
