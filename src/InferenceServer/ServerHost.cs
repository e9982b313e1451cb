// Puts the web host together: Kestrel's limits, the middlewares in their order, the routes. Used as it is by the program and by the tests.

using System.Text.Json.Serialization.Metadata;
using InferenceServer.Api;
using InferenceServer.Api.Adapters;
using InferenceServer.Api.Anthropic;
using InferenceServer.Api.Embeddings;
using InferenceServer.Api.Feedback;
using InferenceServer.Api.Library;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.Ollama;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Api.Replay;
using InferenceServer.Api.Tokens;
using InferenceServer.Llama;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Store;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace InferenceServer;

internal static class ServerHost
{
    // After the drain nothing runs any more: connections that nobody reads are cut.
    private static readonly TimeSpan CloseTime = TimeSpan.FromSeconds(1);

    public static WebApplication Build(WebHostOptions options, ModelCatalogue models)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });
        builder.WebHost.UseUrls($"http://{(options.Host.Contains(':') ? $"[{options.Host}]" : options.Host)}:{options.Port}");
        builder.WebHost.ConfigureKestrel(kestrel => Configure(kestrel, options));
        // A stream's writes are short and never block: running them where the wake-up happens saves a thread hop a token.
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true);

        ConfigureLogging(builder.Logging.ClearProviders(), options.LogLevel);

        IServiceCollection services = builder.Services;
        services.AddSingleton(models).AddSingleton(options).AddSingleton(options.Identity).AddSingleton(options.Clock).AddSingleton(options.Store);
        services.AddSingleton<ServerMetrics>().AddSingleton<RecentRequests>().AddSingleton<Readiness>();
        ApiRoutes.AddServices(services);
        ResponseRoutes.AddServices(services);
        FeedbackRoutes.AddServices(services);
        LibraryRoutes.AddServices(services);
        AdapterRoutes.AddServices(services);
        services.AddSingleton(provider => new McpServers(options.Mcp, options.Clock, provider.GetRequiredService<ILogger<McpServers>>(), provider.GetRequiredService<ServerMetrics>().Mcp.Ended) { Limits = options.McpLimits });
        // After the lifecycle: at the end the running replies are waited for, and then nobody needs a tool.
        services.AddHostedService<ServerLifecycle>().AddHostedService<McpLifetime>();
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.DrainTimeout + CloseTime);
        services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.PropertyNamingPolicy = System.Text.Json.JsonNamingPolicy.SnakeCaseLower;
            json.SerializerOptions.NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.Strict;
            foreach (IJsonTypeInfoResolver contracts in ApiRoutes.Contracts.Reverse())
                json.SerializerOptions.TypeInfoResolverChain.Insert(0, contracts);
        });
        services.AddOpenApi(OpenApiDocument.Configure);
        services.AddSingleton(provider => new RecordingStore(options.Replay, options.Clock, provider.GetRequiredService<ServerMetrics>().Replay));
        ContentCodings.AddServices(services);
        services.AddCors(cors => cors.AddDefaultPolicy(policy => BrowserAccess.Configure(policy, options.Access)));

        WebApplication app = builder.Build();
        app.Use(PrepareRouting);
        app.UseRouting();
        app.UseResponseCompression();
        app.UseMiddleware<RequestTraceMiddleware>();
        app.UseMiddleware<ErrorMiddleware>();
        // Before access: a browser asks for permission without a key.
        app.UseCors();
        app.UseMiddleware<AccessMiddleware>();
        app.UseRequestDecompression();
        app.UseMiddleware<RouteMiddleware>();
        app.UseMiddleware<ReplayMiddleware>();
        ApiRoutes.Map(app);
        return app;
    }

    /// <summary>One line an event, with the time in UTC.</summary>
    public static void ConfigureLogging(ILoggingBuilder logging, LogLevel level) => logging
        .AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat, console.UseUtcTimestamp) = (true, "yyyy-MM-ddTHH:mm:ss.fffZ ", true))
        .AddFilter(null, level).AddFilter("Microsoft", LogLevel.Warning)
        // A failed start is reported in one line by the program.
        .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);

    private static Task PrepareRouting(HttpContext http, RequestDelegate next)
    {
        // What can be read can be asked for without its body, which Kestrel leaves out by itself.
        if (HttpMethods.IsHead(http.Request.Method))
            http.Request.Method = HttpMethods.Get;
        // curl calls everything a form of its own accord, and Ollama's users post JSON by curl alone: there it says as much as nothing.
        if (http.Request.Path.StartsWithSegments("/api") && http.Request.ContentType is "application/x-www-form-urlencoded")
            http.Request.ContentType = null;
        return next(http);
    }

    private static void Configure(KestrelServerOptions kestrel, WebHostOptions options)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = options.MaxBodyBytes;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(120);
        // Streams are slow by nature; StreamWatch ends those that nobody reads.
        kestrel.Limits.MinResponseDataRate = null;
    }
}
