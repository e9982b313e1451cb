using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace InferenceServer.Library;

/// <summary>A file of a hub.</summary>
/// <param name="Name">What the hub calls it; checked to be a plain relative path, and used to show only.</param>
/// <param name="Sha256">As the hub's metadata say: 64 lower-case hex digits.</param>
/// <param name="Size">As the hub's metadata say.</param>
/// <param name="LocalPath">The same file on this machine, if it is there already; what it holds is checked all the same.</param>
internal sealed record RemoteFile(Uri Address, string Name, string Sha256, long Size, LibraryFileRole Role, string? LocalPath = null)
{
    public LibraryFile Entry => new(Name, Sha256, Size, Role);
}

/// <summary>
/// HTTP as hubs want it. Redirects are followed by hand: the token goes to the hub's own origin only, and nobody leads from https to http. What may pass by itself is
/// tried again, with growing waits, or after the time that the hub names. Safe from any thread.
/// </summary>
internal sealed class HubHttp : IDisposable
{
    private const int MaxRedirects = 10;
    private const int MaxTries = 6;

    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    // A hub that wants more patience than this is told to the user instead.
    private static readonly TimeSpan LongestRetryAfter = TimeSpan.FromMinutes(2);

    private readonly LibraryOptions _options;
    private readonly HttpClient _client;

    public HubHttp(LibraryOptions options)
    {
        _options = options;
        // Proxies come from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as .NET reads them.
        _client = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            MaxResponseHeadersLength = 64,
            PooledConnectionLifetime = TimeSpan.FromMinutes(10),
            // What is left of an answer that is not wanted any more is not read.
            ResponseDrainTimeout = TimeSpan.Zero,
        })
        { Timeout = Timeout.InfiniteTimeSpan };
        _client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("InferenceServer", typeof(HubHttp).Assembly.GetName().Version?.ToString(3) ?? "0"));
    }

    /// <summary>A whole small document.</summary>
    /// <param name="what">What it is, for errors.</param>
    /// <param name="sha256">What it must hash to; null where nobody says.</param>
    /// <exception cref="LibraryException">It cannot be had.</exception>
    public async Task<byte[]> GetDocumentAsync(Uri address, string what, string? accept, int maxBytes, string? sha256, CancellationToken cancellation)
    {
        byte[] document = await TryAsync(what, async () =>
        {
            using HttpResponseMessage answer = await SendAsync(address, request =>
            {
                if (accept is not null)
                    request.Headers.TryAddWithoutValidation("Accept", accept);
            }, cancellation);
            if (answer.StatusCode != HttpStatusCode.OK)
                throw Refused(answer, what);
            return await ReadAsync(answer, what, maxBytes, cancellation);
        }, cancellation);
        if (sha256 is not null && Convert.ToHexStringLower(SHA256.HashData(document)) is var hash && hash != sha256)
            throw new LibraryException(LibraryProblem.WrongHash, $"{what} has the hash {hash}; {sha256} was promised");
        return document;
    }

    /// <summary>Sends a GET and follows redirects; the answer's head is there, whatever its status. The caller disposes it.</summary>
    /// <exception cref="HttpRequestException">The network failed; it may be tried again.</exception>
    /// <exception cref="LibraryException">A redirect leads where none may.</exception>
    public async Task<HttpResponseMessage> SendAsync(Uri address, Action<HttpRequestMessage> shape, CancellationToken cancellation)
    {
        for (int redirects = 0; ; redirects++)
        {
            using HttpRequestMessage request = new(HttpMethod.Get, address);
            shape(request);
            if (_options.HubToken is { } token && IsSameOrigin(address, _options.HubEndpoint))
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            HttpResponseMessage answer = await BoundedAsync(limited => _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limited), cancellation);
            if ((int)answer.StatusCode is not (301 or 302 or 303 or 307 or 308) || answer.Headers.Location is not { } location)
                return answer;
            answer.Dispose();
            Uri next = new(address, location);
            if (redirects == MaxRedirects)
                throw new LibraryException(LibraryProblem.Unreachable, $"{address.Host} leads from address to address, more than {MaxRedirects} times");
            if (next.Scheme is not ("https" or "http") || (address.Scheme == "https" && next.Scheme != "https"))
                throw new LibraryException(LibraryProblem.Unreachable, $"{address.Host} leads to {ModelName.Shown(next.GetLeftPart(UriPartial.Authority))}, which is not https: the download was refused");
            address = next;
        }
    }

    /// <summary>Does something that the network may spoil, a few times.</summary>
    public async Task<T> TryAsync<T>(string what, Func<Task<T>> attempt, CancellationToken cancellation)
    {
        for (int tries = 1; ; tries++)
        {
            try
            {
                return await attempt();
            }
            catch (Exception error) when (MayPass(error, cancellation))
            {
                await WaitAsync(what, error, tries, cancellation);
            }
        }
    }

    /// <summary>Whether a failure may be gone when it is tried again.</summary>
    public static bool MayPass(Exception error, CancellationToken cancellation) => !cancellation.IsCancellationRequested
        && error is HttpRequestException or IOException { InnerException: not null } or HttpIOException or TimeoutException or LibraryException { Problem: LibraryProblem.Busy };

    /// <summary>Waits before the next try.</summary>
    /// <param name="tries">Tries so far without any success between.</param>
    /// <exception cref="LibraryException">There were enough, or the hub wants to be left alone for longer.</exception>
    public async Task WaitAsync(string what, Exception error, int tries, CancellationToken cancellation)
    {
        TimeSpan? asked = (error as LibraryException)?.RetryAfter;
        if (asked > LongestRetryAfter)
            throw new LibraryException(LibraryProblem.Busy, string.Create(CultureInfo.InvariantCulture, $"{error.Message}; it asks to be left alone for {asked.Value.TotalSeconds:0} s: pull again then, and what has come is kept"), error) { RetryAfter = asked };
        if (tries >= MaxTries)
            throw error is LibraryException { Problem: LibraryProblem.Busy } ? error
                : new LibraryException(LibraryProblem.Unreachable, $"{what} cannot be fetched: {Reason(error)} ({tries} tries); pull again later, and what has come is kept", error);
        TimeSpan wait = TimeSpan.FromTicks(Math.Min(FirstWait.Ticks << (tries - 1), LongestWait.Ticks));
        // Those that were refused together must not come back together.
        await _options.Delay(asked ?? (wait * (0.5 + (RandomNumberGenerator.GetInt32(1_000) / 1_000.0))), cancellation);
    }

    /// <summary>Bounds a wait for the network.</summary>
    /// <exception cref="TimeoutException">Nothing came for as long as <see cref="LibraryOptions.SilenceLimit"/>.</exception>
    public async Task<T> BoundedAsync<T>(Func<CancellationToken, Task<T>> wait, CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_options.SilenceLimit);
        try
        {
            return await wait(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && limit.IsCancellationRequested)
        {
            throw new TimeoutException(string.Create(CultureInfo.InvariantCulture, $"nothing came for {_options.SilenceLimit.TotalSeconds:0} s"));
        }
    }

    /// <summary>What an answer that is no success means.</summary>
    public LibraryException Refused(HttpResponseMessage answer, string what)
    {
        Uri asked = answer.RequestMessage!.RequestUri!;
        string host = asked.Host;
        bool isHub = IsSameOrigin(asked, _options.HubEndpoint);
        string code = Header(answer, "X-Error-Code");
        switch ((int)answer.StatusCode)
        {
            case 401 or 403 when code == "GatedRepo":
                return new LibraryException(LibraryProblem.Gated, $"{what} is gated: accept its terms on {host}"
                    + (_options.HubToken is null ? ", then set HF_TOKEN to a token of that account" : "; the account of the token in HF_TOKEN has not done so"));
            case 401:
                return new LibraryException(LibraryProblem.Unauthorized, !isHub ? $"{host} does not let {what} be fetched without signing in"
                    : _options.HubToken is null ? $"{host} shows {what} to nobody without a token: it is private or gated, or does not exist. Set HF_TOKEN to a token that may read it"
                    : $"{host} does not accept the token in HF_TOKEN for {what}: it is wrong, or may not read it");
            case 403:
                return new LibraryException(LibraryProblem.Gated, $"{host} refuses {what} (403): " + (isHub ? "accept its terms there, and set HF_TOKEN to a token that may read it" : "it may want terms to be accepted, or its address has expired: pull again"));
            case 404 or 410:
                return new LibraryException(LibraryProblem.NotFound, $"{host} has no {what}: look for its name there");
            case 408 or 429 or >= 500:
                return new LibraryException(LibraryProblem.Busy, $"{host} is busy ({(int)answer.StatusCode})") { RetryAfter = RetryAfter(answer) };
            default:
                return new LibraryException(LibraryProblem.Unreachable, $"{host} answered {(int)answer.StatusCode} for {what}");
        }
    }

    public void Dispose() => _client.Dispose();

    private async Task<byte[]> ReadAsync(HttpResponseMessage answer, string what, int maxBytes, CancellationToken cancellation)
    {
        if (answer.Content.Headers.ContentLength > maxBytes)
            throw TooLarge(what, maxBytes);
        await using Stream body = await answer.Content.ReadAsStreamAsync(cancellation);
        using MemoryStream read = new();
        byte[] buffer = new byte[32 << 10];
        while (await BoundedAsync(limited => body.ReadAsync(buffer, limited).AsTask(), cancellation) is > 0 and var count)
        {
            if (read.Length + count > maxBytes)
                throw TooLarge(what, maxBytes);
            read.Write(buffer, 0, count);
        }

        return read.ToArray();
    }

    private static LibraryException TooLarge(string what, int maxBytes) => new(LibraryProblem.Unreachable, $"{what} is larger than {maxBytes} bytes, which no such document is");

    private TimeSpan? RetryAfter(HttpResponseMessage answer) =>
        answer.Headers.RetryAfter is not { } after ? null
        : after.Delta ?? (after.Date is { } date ? TimeSpan.FromTicks(Math.Max(0, (date - _options.Clock.GetUtcNow()).Ticks)) : null);

    private static string Reason(Exception error) => error is HttpRequestException { InnerException: { } inner } ? $"{error.Message} {inner.Message}".ReplaceLineEndings(" ") : error.Message;

    private static string Header(HttpResponseMessage answer, string name) => answer.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.First() : "";

    private static bool IsSameOrigin(Uri one, Uri other) => one.Scheme == other.Scheme && one.Host.Equals(other.Host, StringComparison.OrdinalIgnoreCase) && one.Port == other.Port;
}
