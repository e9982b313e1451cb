using InferenceServer.Engine.Constraints;

namespace InferenceServer.Chat;

/// <summary>A constraint that is not compiled yet.</summary>
/// <param name="Path">Where it stands in the request, as its dialect writes it.</param>
/// <param name="Key">Its kind and whole source: equal keys mean the same constraint.</param>
/// <param name="Build">Throws <see cref="ConstraintException"/> for what cannot be enforced.</param>
public sealed record ConstraintSource(string Path, string Key, Func<CancellationToken, ConstraintPart> Build);
