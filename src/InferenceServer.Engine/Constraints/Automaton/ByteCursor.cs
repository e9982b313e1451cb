namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>Reads bytes one at a time from a configuration on. Within a character no configuration is made.</summary>
internal struct ByteCursor
{
    private readonly ConfigurationCache _cache;
    private Configuration? _at; // null within a character
    private Reading _reading;
    private Destinations _destinations;

    public ByteCursor(ConfigurationCache cache, Configuration start)
    {
        _cache = cache;
        _at = start;
        (_reading, _destinations) = cache.OutlookOf(start);
    }

    /// <summary>Whether the constraint may be complete here.</summary>
    public readonly bool CanEnd => _at is { CanEnd: true };

    /// <summary>Whether nothing can follow.</summary>
    public readonly bool IsAtEnd => _at is { CanEnd: true, Items.Length: 0 };

    /// <summary>What each class of bytes leads to, null where it is refused.</summary>
    public readonly Reading?[] Steps => _cache.StepsOf(_reading);

    public readonly Configuration Configuration => _at ?? _cache.Land(_destinations, _reading);

    /// <summary>Moves past a byte that may come; else returns false.</summary>
    public bool TryRead(byte b)
    {
        if (Steps[_cache.ClassOfByte[b]] is not { } step)
            return false;
        if (step.IsWithinCharacter)
        {
            (_at, _reading) = (null, step);
            return true;
        }
        _at = _cache.Land(_destinations, step);
        (_reading, _destinations) = _cache.OutlookOf(_at);
        return true;
    }
}
