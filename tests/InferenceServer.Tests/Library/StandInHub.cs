using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using InferenceServer.Library;
using InferenceServer.Llama.Gguf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Tests.Library;

/// <summary>
/// Hugging Face's hub and Ollama's registry on one port of 127.0.0.1, and the host on another that they send downloads to. It fails as a test wants it to, and remembers who asked.
/// </summary>
internal sealed class StandInHub : IAsyncDisposable
{
    private const int Chunk = 4 << 10;

    private readonly ConcurrentDictionary<string, (byte[] Bytes, string Sha, string Tag)> _files = new();
    private readonly ConcurrentDictionary<string, List<(string Name, string Sha, long Size)>> _repositories = new();
    private WebApplication _hub = null!;
    private WebApplication _store = null!;

    /// <summary>What was asked: the host, the path, and what mattered of the headers.</summary>
    public sealed record Asked(string Host, string Path, string Authorization, string Range, string IfRange);

    public ConcurrentQueue<Asked> Requests { get; } = new();

    public Uri Address => new(_hub.Urls.First());

    private Uri StoreAddress => new(_store.Urls.First());

    /// <summary>Bytes of files that went out.</summary>
    public long SentBytes => Interlocked.Read(ref _sent);

    private long _sent;

    /// <summary>Sends downloads to the other host, as Hugging Face does.</summary>
    public bool Redirects { get; set; } = true;

    /// <summary>Where to, instead of the other host.</summary>
    public string? RedirectsTo { get; set; }

    public bool RefusesRanges { get; set; }

    /// <summary>How many answers break off after this many bytes.</summary>
    public int Cuts { get; set; }

    public int CutAfter { get; set; } = 10_000;

    /// <summary>Answers in place of what was asked, as long as it gives some: of the path, before anything else.</summary>
    public Func<HttpContext, int?> Refuse { get; set; } = _ => null;

    /// <summary>In place of every answer, with 200: what a hotel's network sends to whoever has not signed in.</summary>
    public string? Page { get; set; }

    /// <summary>The ETag of a file's n-th answer.</summary>
    public Func<int, string?>? TagOf { get; set; }

    private int _answers;

    /// <summary>Of a file, after which a body waits until <see cref="Go"/>.</summary>
    public long? HoldAfter { get; set; }

    public TaskCompletionSource Go { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static async Task<StandInHub> StartAsync()
    {
        StandInHub hub = new();
        hub._store = await hub.HostAsync("store");
        hub._hub = await hub.HostAsync("hub");
        return hub;
    }

    /// <summary>Adds a file to a repository.</summary>
    public string Add(string repository, string name, byte[] bytes, string? sha = null, long? size = null)
    {
        string real = Convert.ToHexStringLower(SHA256.HashData(bytes));
        _files[$"{repository}/{name}"] = (bytes, real, $"\"{real[..16]}\"");
        _repositories.GetOrAdd(repository, _ => []).Add((name, sha ?? real, size ?? bytes.Length));
        return real;
    }

    /// <summary>Other bytes under the same name; what the metadata say stays.</summary>
    public void Replace(string repository, string name, byte[] bytes) => _files[$"{repository}/{name}"] = (bytes, "", $"\"{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}\"");

    /// <summary>Adds a blob that Ollama's registry gives.</summary>
    public JsonObject AddLayer(string model, string mediaType, byte[] bytes)
    {
        string sha = Convert.ToHexStringLower(SHA256.HashData(bytes));
        _files[$"v2/{model}/blobs/sha256:{sha}"] = (bytes, sha, $"\"{sha[..16]}\"");
        return new JsonObject { ["mediaType"] = mediaType, ["digest"] = $"sha256:{sha}", ["size"] = bytes.Length };
    }

    public void AddManifest(string model, string tag, JsonObject config, params JsonNode[] layers) =>
        _files[$"v2/{model}/manifests/{tag}"] = (Encoding.UTF8.GetBytes(new JsonObject { ["schemaVersion"] = 2, ["config"] = config, ["layers"] = new JsonArray(layers) }.ToJsonString()), "", "");

    /// <summary>A library that fetches from here.</summary>
    public LibraryOptions Options(string folder) => new()
    {
        Folder = folder,
        HubEndpoint = Address,
        OllamaRegistry = Address,
        FreeDiskBytes = _ => long.MaxValue,
        SegmentBytes = 32 << 10,
        JournalBytes = 8 << 10,
        Delay = (_, _) => Task.CompletedTask,
    };

    public async ValueTask DisposeAsync()
    {
        Go.TrySetResult();
        await _hub.DisposeAsync();
        await _store.DisposeAsync();
    }

    private async Task<WebApplication> HostAsync(string host)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication app = builder.Build();
        app.Run(http => AnswerAsync(http, host));
        await app.StartAsync();
        return app;
    }

    private async Task AnswerAsync(HttpContext http, string host)
    {
        string path = http.Request.Path.Value!.TrimStart('/');
        IHeaderDictionary headers = http.Request.Headers;
        Requests.Enqueue(new Asked(host, path, headers.Authorization.ToString(), headers.Range.ToString(), headers.IfRange.ToString()));
        if (Refuse(http) is { } status)
        {
            http.Response.StatusCode = status;
            return;
        }

        if (Page is not null)
        {
            await http.Response.WriteAsync(Page);
            return;
        }

        if (path.StartsWith("api/models/", StringComparison.Ordinal))
        {
            await DescribeAsync(http, path["api/models/".Length..]);
            return;
        }

        string[] parts = path.Split("/resolve/0123abcd/");
        string name = parts.Length == 2 ? $"{parts[0]}/{parts[1]}" : path;
        if (!_files.TryGetValue(name, out (byte[] Bytes, string Sha, string Tag) file))
        {
            http.Response.StatusCode = 404;
            return;
        }

        if (host == "hub" && Redirects && !path.Contains("/manifests/", StringComparison.Ordinal))
        {
            http.Response.StatusCode = 302;
            http.Response.Headers.Location = RedirectsTo ?? new Uri(StoreAddress, $"{name}?signature=secret").AbsoluteUri;
            return;
        }

        await SendAsync(http, file.Bytes, TagOf is { } tags ? tags(Interlocked.Increment(ref _answers)) : file.Tag);
    }

    private async Task DescribeAsync(HttpContext http, string repository)
    {
        if (!_repositories.TryGetValue(repository, out List<(string Name, string Sha, long Size)>? files))
        {
            http.Response.StatusCode = 401; // As Hugging Face does of what it will not show.
            return;
        }

        JsonArray siblings = [new JsonObject { ["rfilename"] = "README.md", ["size"] = 7 }];
        foreach ((string name, string sha, long size) in files)
            siblings.Add(new JsonObject { ["rfilename"] = name, ["size"] = size, ["lfs"] = sha.Length == 0 ? null : new JsonObject { ["sha256"] = sha, ["size"] = size } });
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync(new JsonObject { ["id"] = repository, ["sha"] = "0123abcd", ["cardData"] = new JsonObject { ["license"] = "apache-2.0" }, ["siblings"] = siblings }.ToJsonString());
    }

    private async Task SendAsync(HttpContext http, byte[] bytes, string? tag)
    {
        long start = 0, end = bytes.Length;
        string range = http.Request.Headers.Range.ToString(), ifRange = http.Request.Headers.IfRange.ToString();
        if (tag is { Length: > 0 })
            http.Response.Headers.ETag = tag;
        if (range.Length > 0 && !RefusesRanges && (ifRange.Length == 0 || ifRange == tag))
        {
            string[] bounds = range["bytes=".Length..].Split('-');
            (start, end) = (long.Parse(bounds[0], CultureInfo.InvariantCulture), Math.Min(long.Parse(bounds[1], CultureInfo.InvariantCulture) + 1, bytes.Length));
            if (start >= bytes.Length)
            {
                http.Response.StatusCode = 416;
                return;
            }

            http.Response.StatusCode = 206;
            http.Response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {start}-{end - 1}/{bytes.Length}");
        }

        http.Response.ContentLength = end - start;
        int cut = Cuts > 0 && end - start > CutAfter ? CutAfter : int.MaxValue;
        if (cut < int.MaxValue)
            Cuts--;
        http.Features.Get<IHttpResponseBodyFeature>()!.DisableBuffering();
        for (long at = start; at < end; at += Chunk)
        {
            if (at - start >= cut)
            {
                http.Abort();
                return;
            }

            if (HoldAfter is { } hold && at - start >= hold)
                await Go.Task.WaitAsync(http.RequestAborted);
            int count = (int)Math.Min(Chunk, end - at);
            await http.Response.Body.WriteAsync(bytes.AsMemory((int)at, count), http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
            Interlocked.Add(ref _sent, count);
        }
    }
}

/// <summary>Files that are GGUF as far as their header goes.</summary>
internal static class TestGguf
{
    /// <param name="kibibytes">About how large.</param>
    /// <param name="part">Of a split model: which, from 0, of how many.</param>
    public static byte[] Make(int kibibytes = 256, int seed = 1, string type = "model", (int Number, int Count)? part = null)
    {
        string path = Path.GetTempFileName();
        try
        {
            using (GgufWriter writer = GgufWriter.Create(path, "llama"))
            {
                if (type != "model")
                    writer.Add("general.type", type);
                writer.Add("llama.context_length", 4096u);
                writer.Add("tokenizer.chat_template", "{{ messages }}");
                if (part is { } split)
                {
                    writer.Add("split.no", (uint)split.Number);
                    writer.Add("split.count", (uint)split.Count);
                }

                int rows = Math.Max(1, kibibytes);
                writer.Declare($"blk.{part?.Number ?? 0}.weight", GgufTensorType.F32, 256, rows);
                float[] row = new float[256];
                Random random = new(seed);
                for (int i = 0; i < rows; i++)
                {
                    for (int j = 0; j < row.Length; j++)
                        row[j] = random.NextSingle();
                    writer.Append(row);
                }

                writer.Finish();
            }

            return File.ReadAllBytes(path);
        }
        finally
        {
            File.Delete(path);
        }
    }
}

/// <summary>Keeps all that a pull says, in the order in which it said it.</summary>
internal sealed class Heard : IProgress<PullProgress>
{
    public ConcurrentQueue<PullProgress> All { get; } = new();

    public void Report(PullProgress value) => All.Enqueue(value);
}
