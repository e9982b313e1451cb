namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>Arrays are equal when their elements are.</summary>
internal sealed class SequenceComparer<T> : IEqualityComparer<T[]>
{
    public bool Equals(T[]? x, T[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(T[] array)
    {
        HashCode hash = new();
        foreach (T element in array)
            hash.Add(element);
        return hash.ToHashCode();
    }
}
