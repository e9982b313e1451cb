using System.Security.Cryptography;
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
    [InlineData("access")]
    [InlineData("chat")]
    [InlineData("feedback")]
    [InlineData("looks")]
    [InlineData("resume")]
    [InlineData("security")]
    [InlineData("transfer")]
    [InlineData("unkept")]
    public async Task Flows_work_in_a_browser(string flows)
    {
        Skip.If(packages.Failure is not null, $"npm could not install what drives the browser: {packages.Failure}");
        string browser = Environment.GetEnvironmentVariable("CHROMIUM") ?? Browsers.FirstOrDefault(File.Exists) ?? "";
        Skip.If(browser.Length == 0, "no Chromium was found: install it, or name it in CHROMIUM");
        Skip.IfNot(File.Exists(Path.Combine(AppContext.BaseDirectory, "wwwroot", "index.html")), "the page was not built: that takes Node.js and npm");
        string model = Path.Combine(SharedFolder.RepositoryRoot, "models", "chat-small.gguf");
        Skip.IfNot(File.Exists(model), $"{model} is missing");

        string tests = Path.Combine(AppContext.BaseDirectory, "InferenceServer.Tests");
        string[] server = ["dotnet", "exec", "--runtimeconfig", tests + ".runtimeconfig.json", "--depsfile", tests + ".deps.json", typeof(ServerHost).Assembly.Location];
        (int exit, string said) = await new NodeProject(packages.Folder, Limit).RunAsync("node", ["--test", "--test-reporter=spec", $"{flows}.test.mjs"], new Dictionary<string, string>
        {
            ["BROWSER_TEST_SERVER"] = JsonSerializer.Serialize(server),
            ["BROWSER_TEST_MODEL"] = model,
            ["CHROMIUM"] = browser,
        });
        Assert.True(exit == 0, said);
    }

    [SkippableFact]
    public async Task What_the_page_computes_is_right()
    {
        string page = Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer.Web");
        Skip.IfNot(Directory.Exists(Path.Combine(page, "node_modules", "typescript")), "the page's packages are not installed: building the server does that, where npm is");
        (int exit, string said) = await new NodeProject(page, Limit).RunAsync("npm", ["test"]);
        Assert.True(exit == 0, said);
    }

    /// <summary>The scripts of tests/browser with their packages, installed once for each lock file beside the tests' own output.</summary>
    public sealed class Packages : IAsyncLifetime
    {
        private static readonly string Source = Path.Combine(SharedFolder.RepositoryRoot, "tests", "browser");

        public string Folder { get; private set; } = "";

        /// <summary>Why they cannot be had; null where they are there.</summary>
        public string? Failure { get; private set; }

        public async Task InitializeAsync()
        {
            byte[] packages = await File.ReadAllBytesAsync(Path.Combine(Source, "package-lock.json"));
            Folder = Path.Combine(AppContext.BaseDirectory, $"browser-{Convert.ToHexStringLower(SHA256.HashData(packages).AsSpan(0, 6))}");
            Directory.CreateDirectory(Folder);
            foreach (string file in Directory.GetFiles(Source))
                File.Copy(file, Path.Combine(Folder, Path.GetFileName(file)), overwrite: true);
            string installed = Path.Combine(Folder, "installed");
            if (File.Exists(installed))
                return;
            (int exit, string said) = await new NodeProject(Folder, Limit).RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]);
            if (exit == 0)
                await File.WriteAllTextAsync(installed, "");
            else
                Failure = said;
        }

        public Task DisposeAsync() => Task.CompletedTask;
    }
}
