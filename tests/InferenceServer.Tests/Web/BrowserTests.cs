using System.Text.Json;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Web;

/// <summary>The page in a real browser against the real server: the flows of tests/browser, and the unit tests of what the page computes.</summary>
[Collection(nameof(RunsAlone))]
public sealed class BrowserTests(BrowserTests.Packages packages) : IClassFixture<BrowserTests.Packages>
{
    /// <summary>Below the time without a sign of life after which a test run ends.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3.5);

    private static readonly string[] Browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

    [SkippableTheory]
    [InlineData("access", "chat", "feedback", "unkept")]
    [InlineData("looks", "resume", "security", "transfer")]
    public async Task Flows_work_in_a_browser(params string[] flows)
    {
        Skip.If(packages.Failure is not null, $"npm could not install what drives the browser: {packages.Failure}");
        string browser = Environment.GetEnvironmentVariable("CHROMIUM") ?? Browsers.FirstOrDefault(File.Exists) ?? "";
        Skip.If(browser.Length == 0, "no Chromium was found: install it, or name it in CHROMIUM");
        Skip.IfNot(File.Exists(Path.Combine(AppContext.BaseDirectory, "wwwroot", "index.html")), "the page was not built: that takes Node.js and npm");
        string model = Path.Combine(SharedFolder.RepositoryRoot, "models", "chat-small.gguf");
        Skip.IfNot(File.Exists(model), $"{model} is missing");

        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        string[] server = ["dotnet", "exec", "--runtimeconfig", tests + ".runtimeconfig.json", "--depsfile", tests + ".deps.json", typeof(ServerHost).Assembly.Location];
        (int exit, string output, string error) = await packages.Project!.RunAsync("node", ["flows.mjs", .. flows], new Dictionary<string, string>
        {
            ["BROWSER_TEST_SERVER"] = JsonSerializer.Serialize(server),
            ["BROWSER_TEST_MODEL"] = model,
            ["CHROMIUM"] = browser,
        });
        Assert.True(exit == 0, error + output);
    }

    [SkippableFact]
    public async Task What_the_page_computes_is_right()
    {
        string page = Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer.Web");
        Skip.IfNot(Directory.Exists(Path.Combine(page, "node_modules", "typescript")), "the page's packages are not installed: building the server does that, where npm is");
        (int exit, string output, string error) = await new NodeProject(page, Limit).RunAsync("npm", ["test"]);
        Assert.True(exit == 0, error + output);
    }

    /// <summary>The scripts of tests/browser with their packages.</summary>
    public sealed class Packages : IAsyncLifetime
    {
        internal NodeProject? Project { get; private set; }

        /// <summary>Why they cannot be had; null where they are there.</summary>
        public string? Failure { get; private set; }

        public async Task InitializeAsync() => (Project, Failure) = await NodeProject.InstallAsync(Path.Combine(SharedFolder.RepositoryRoot, "tests", "browser"), Limit);

        public Task DisposeAsync() => Task.CompletedTask;
    }
}
