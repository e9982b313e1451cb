using System.Buffers;
using System.IO.Compression;
using System.IO.Pipelines;
using Microsoft.AspNetCore.RequestDecompression;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.Net.Http.Headers;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace InferenceServer.Api;

/// <summary>How bodies may be compressed: those of requests in any way that clients use, those of answers as the client asks and where it does not hold tokens back.</summary>
internal static class ContentCodings
{
    // Neither streams, whose tokens a compressor would hold back, nor the page's own types, whose files are compressed when they are built.
    private static readonly string[] CompressedTypes = ["application/json", "text/plain"];

    public static void AddServices(IServiceCollection services)
    {
        services.AddRequestDecompression(decompression =>
        {
            decompression.DecompressionProviders.Add("zstd", new ZstdProvider());
            // RFC 9110, 8.4.1.3: the same as gzip.
            decompression.DecompressionProviders.Add("x-gzip", decompression.DecompressionProviders["gzip"]);
        });
        services.AddResponseCompression(compression =>
        {
            compression.MimeTypes = CompressedTypes;
            compression.Providers.Add<BrotliCompressionProvider>();
            compression.Providers.Add<GzipCompressionProvider>();
        });
        services.Configure<BrotliCompressionProviderOptions>(brotli => brotli.Level = CompressionLevel.Fastest);
        services.Configure<GzipCompressionProviderOptions>(gzip => gzip.Level = CompressionLevel.Fastest);
    }

    /// <summary>A request's whole body, decoded.</summary>
    /// <exception cref="RequestProblem">Nobody here decodes its coding, or it is not coded so.</exception>
    public static async Task<byte[]> ReadAsync(HttpContext http)
    {
        // The header of a coding that is decoded is gone by now.
        string coding = http.Request.Headers.ContentEncoding.ToString();
        if (coding.Length > 0 && !coding.Equals("identity", StringComparison.OrdinalIgnoreCase))
            throw new RequestProblem(ProblemKind.UnknownForm, $"The Content-Encoding '{(coding.Length <= 40 ? coding : coding[..40] + "...")}' is not read here: send gzip, deflate, br, zstd or none.",
                HeaderNames.ContentEncoding, "unsupported_content_encoding");
        PipeReader reader = http.Request.BodyReader;
        while (true)
        {
            ReadResult read;
            try
            {
                read = await reader.ReadAsync(http.RequestAborted);
            }
            // Brotli's decoder has the last one for wrong data.
            catch (Exception error) when (error is InvalidDataException or ZstdException or InvalidOperationException)
            {
                throw RequestProblem.Invalid("The body cannot be decompressed: it is not what its Content-Encoding says.", null, "invalid_content_encoding");
            }

            if (read.IsCompleted)
            {
                byte[] body = read.Buffer.ToArray();
                reader.AdvanceTo(read.Buffer.End);
                return body;
            }

            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    private sealed class ZstdProvider : IDecompressionProvider
    {
        // RFC 9659: who decodes this coding need not hold more than a window of 8 MiB, and a body could ask for gigabytes.
        private const int WindowLog = 23;

        public Stream GetDecompressionStream(Stream stream)
        {
            DecompressionStream decompressed = new(stream);
            decompressed.SetParameter(ZSTD_dParameter.ZSTD_d_windowLogMax, WindowLog);
            return decompressed;
        }
    }
}
