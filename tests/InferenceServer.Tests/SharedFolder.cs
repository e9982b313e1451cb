namespace InferenceServer.Tests;

/// <summary>Finds the repository and the test data beside it, which CI has and users have not.</summary>
internal static class SharedFolder
{
    /// <summary>The folder that holds InferenceServer.sln.</summary>
    public static string RepositoryRoot { get; } = FindRoot();

    /// <summary>The path of a folder under ../shared, or null when this checkout has none beside it: the test then skips with <see cref="AbsentReason"/>.</summary>
    public static string? Find(string name)
    {
        string path = Path.GetFullPath(Path.Combine(RepositoryRoot, "..", "shared", name));
        return Directory.Exists(path) ? path : null;
    }

    public const string AbsentReason = "the test data in ../shared is not beside this checkout";

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "InferenceServer.sln")))
                return folder.FullName;
        throw new InvalidOperationException($"no InferenceServer.sln above {AppContext.BaseDirectory}");
    }
}
