using InferenceServer.Llama.TestModels;

namespace InferenceServer.Models;

/// <summary>Where the model comes from. A generated one is deleted on dispose: by then its pages are mapped.</summary>
internal sealed class ModelFile : IDisposable
{
    private const string ShippedName = "chat-small.gguf";

    private readonly DirectoryInfo? _temporary;

    private ModelFile(string path, string id, DirectoryInfo? temporary)
    {
        Path = path;
        Id = id;
        Created = temporary is null && File.Exists(path) ? File.GetLastWriteTimeUtc(path) : DateTimeOffset.UnixEpoch;
        _temporary = temporary;
    }

    public string Path { get; }

    /// <summary>The file's name without its ending: what clients call the model.</summary>
    public string Id { get; }

    public DateTimeOffset Created { get; }

    /// <summary>The file asked for, else the one that ships, else a tiny random one.</summary>
    public static ModelFile Find(string? asked, List<string> notes)
    {
        if ((asked ?? FindShipped()) is { } path)
            return new ModelFile(path, System.IO.Path.GetFileNameWithoutExtension(path), null);

        // A folder of its own, not a known name in a folder that others may write.
        DirectoryInfo temporary = Directory.CreateTempSubdirectory("inference-server-");
        string tiny = System.IO.Path.Combine(temporary.FullName, "tiny-random.gguf");
        TinyModel.Write(tiny);
        notes.Add($"there is no models/{ShippedName}: this is a tiny random model and its replies are noise; give a real one with --model");
        return new ModelFile(tiny, "tiny-random", temporary);
    }

    public void Dispose() => _temporary?.Delete(recursive: true);

    /// <summary>From the working directory, then from the program's own folder, upwards.</summary>
    private static string? FindShipped()
    {
        foreach (string start in (ReadOnlySpan<string>)[Directory.GetCurrentDirectory(), AppContext.BaseDirectory])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string path = System.IO.Path.Combine(folder.FullName, "models", ShippedName);
                if (File.Exists(path))
                    return path;
            }
        }

        return null;
    }
}
