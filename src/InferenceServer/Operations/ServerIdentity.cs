namespace InferenceServer.Operations;

/// <summary>What the server says of itself.</summary>
/// <param name="Backend">The backend and why it was chosen.</param>
internal sealed record ServerIdentity(string Backend);
