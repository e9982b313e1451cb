using System.Reflection;

namespace InferenceServer;

/// <summary>The version that health, banner, fingerprints and packages agree on.</summary>
public static class ServerVersion
{
    public static string Text { get; } =
        typeof(ServerVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";
}
