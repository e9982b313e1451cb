using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace InferenceServer.Operations;

/// <summary>Who asks, as the rest of the server knows it: a name made of the key, never the key. What a key may do and how much will hang here.</summary>
/// <param name="Id">The same for the same key over restarts; null where the server asks for none.</param>
internal sealed record ApiKey(string? Id)
{
    public static ApiKey None { get; } = new((string?)null);

    public static ApiKey Of(HttpContext http) => http.Features.Get<ApiKey>() ?? None;

    /// <summary>What may be shared with whom: cached prefixes and sessions stay within a key, and within it within a salt. NUL, since no salt can hold it.</summary>
    public string CacheNamespace(string? salt) => Id is null ? salt ?? "" : $"\0{Id}\0{salt}";

    /// <summary>Who takes turns with whom. A key is one, however many users it speaks for.</summary>
    public string FairnessKey(string? user) => Id ?? user ?? "";
}

/// <summary>The keys that open the server. Only their hashes are kept.</summary>
internal sealed class ApiKeyRing
{
    public const int MaxKeyLength = 512;

    private readonly List<(byte[] Hash, ApiKey Key)> _keys = [];

    public ApiKeyRing(IEnumerable<string> keys)
    {
        foreach (string key in keys.Distinct())
            _keys.Add((Hash(key), new ApiKey($"key_{Convert.ToHexStringLower(Hash($"InferenceServer key name\0{key}").AsSpan(0, 16))}")));
        if (_keys.Count == 0)
            return;
        // The server's own, for its warm-up; it dies with the process.
        OwnKey = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        _keys.Add((Hash(OwnKey), new ApiKey("key_own")));
    }

    /// <summary>Opens this server as a client's key does; null where none is needed.</summary>
    public string? OwnKey { get; }

    public bool IsEmpty => _keys.Count == 0;

    /// <summary>Null for a key that is none of ours. Takes as long whichever it is: hashes are compared, whole, and all of them.</summary>
    public ApiKey? Find(string presented)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(presented), hash);
        ApiKey? found = null;
        foreach ((byte[] known, ApiKey key) in _keys)
            found = CryptographicOperations.FixedTimeEquals(known, hash) ? key : found;
        return found;
    }

    /// <summary>Of what every header can carry, and a list of them can be written with commas.</summary>
    public static bool IsValid(string key) => key.Length is > 0 and <= MaxKeyLength && key.All(c => c is > ' ' and <= '~' and not ',');

    /// <summary>The keys of the command line and those of the file, which has one a line; empty lines and those that begin with # are skipped.</summary>
    /// <exception cref="ServerStartException">The file cannot be read, holds none, or a line is no key; no message repeats one.</exception>
    public static ApiKeyRing Load(IReadOnlyList<string> keys, string? file)
    {
        List<string> all = [.. keys];
        if (file is not null)
            all.AddRange(ReadFile(file));
        return new ApiKeyRing(all);
    }

    private static List<string> ReadFile(string file)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ServerStartException($"--api-key-file: {error.Message}", error);
        }

        List<string> keys = [];
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim();
            if (line.Length == 0 || line[0] == '#')
                continue;
            if (!IsValid(line))
                throw new ServerStartException($"--api-key-file: line {i + 1} is no key: 1 to {MaxKeyLength} printable ASCII characters without spaces and commas");
            keys.Add(line);
        }

        return keys.Count > 0 ? keys : throw new ServerStartException($"--api-key-file: '{file}' holds no key, and the server would be open to everyone");
    }

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));
}
