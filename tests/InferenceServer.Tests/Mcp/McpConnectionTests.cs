using System.Diagnostics;
using System.Globalization;
using InferenceServer.Chat;
using InferenceServer.Mcp;
using InferenceServer.Tests.Llama;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Mcp;

/// <summary>The way to a real MCP server, as a process and over HTTP: what it may do, and what becomes of what it does wrong.</summary>
public sealed class McpConnectionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly FakeTimeProvider _clock = new(DateTimeOffset.UnixEpoch);
    private readonly RecordingLogger _log = new();
    private readonly List<McpCallEnd> _ends = [];

    private string PidFile => Path.Combine(_folder, "pid");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private McpConnection Connect(McpServerEntry entry) => new("test", entry, name => name switch
    {
        "TOKEN" => "s3cret",
        _ => Environment.GetEnvironmentVariable(name),
    }, _clock, _log, end =>
    {
        lock (_ends)
            _ends.Add(end);
    });

    private static Task<HostedResult> CallAsync(McpConnection connection, string tool, string arguments = "{}") => connection.CallAsync(tool, arguments, CancellationToken.None);

    private string[] Outcomes => [.. _ends.Select(end => end.Outcome)];

    [Fact]
    public async Task A_process_is_started_at_first_use_lists_its_tools_and_answers_and_ends_with_its_client()
    {
        Process process;
        await using (McpConnection connection = Connect(TestMcpServer.Program(PidFile)))
        {
            Assert.False(File.Exists(PidFile));
            Assert.Equal(["add", "echo", "slow", "fail", "crash", "huge", "env", "grow", "hostile", "endless"], (await connection.ListAsync(CancellationToken.None)).Select(tool => tool.Name));
            Assert.Equal(new HostedResult("5.5"), await CallAsync(connection, "add", """{"a":2,"b":3.5}"""));
            Assert.Equal(HostedResult.Error("No such file."), await CallAsync(connection, "fail"));
            process = Process.GetProcessById(int.Parse(await File.ReadAllTextAsync(PidFile), CultureInfo.InvariantCulture));

            // A list that has changed is read again.
            Assert.Equal(new HostedResult("grown"), await CallAsync(connection, "grow"));
            await Eventually.HoldsAsync(async () => (await connection.ListAsync(CancellationToken.None)).Any(tool => tool.Name == "grown"), "the new tool is listed");

            // It is told nothing of this process's environment but what its entry says.
            Environment.SetEnvironmentVariable("MCP_TEST_KEY", "of this process");
            Assert.Equal(new HostedResult("(none)"), await CallAsync(connection, "env", """{"name":"MCP_TEST_KEY"}"""));
        }

        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)), "the process goes on after its client has ended");
        Assert.Equal(["ok", "tool_error", "ok", "ok"], Outcomes);
    }

    [Fact]
    public async Task A_process_ends_when_its_client_is_killed()
    {
        using Process client = ChildProcess.Start("mcp-client", PidFile);
        Process? process = null;
        await Eventually.HoldsAsync(() => File.Exists(PidFile) && int.TryParse(File.ReadAllText(PidFile), out int id) && (process = Process.GetProcessById(id)) is not null);
        client.Kill();
        Assert.True(process!.WaitForExit(TimeSpan.FromSeconds(30)), "the process goes on after its client was killed");
    }

    /// <summary>For a process of its own, which is killed.</summary>
    internal static void ConnectAndStay(string pidFile)
    {
        McpConnection connection = new("test", TestMcpServer.Program(pidFile), Environment.GetEnvironmentVariable, TimeProvider.System, NullLogger.Instance, _ => { });
        _ = connection.ListAsync(CancellationToken.None).GetAwaiter().GetResult();
        Thread.Sleep(TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_process_that_dies_fails_its_call_and_is_started_again_for_the_next()
    {
        McpServerEntry entry = TestMcpServer.Program(PidFile);
        entry.Env = new Dictionary<string, string>(entry.Env) { ["KEY"] = "the ${env:TOKEN}" };
        await using McpConnection connection = Connect(entry);
        Assert.Equal(new HostedResult("the s3cret"), await CallAsync(connection, "env", """{"name":"KEY"}"""));
        string first = await File.ReadAllTextAsync(PidFile);
        HostedResult died = await CallAsync(connection, "crash");
        Assert.True(died.IsError);
        Assert.StartsWith("The tool server cannot be used now: ", died.Text, StringComparison.Ordinal);
        Assert.Equal(new HostedResult("again"), await CallAsync(connection, "echo", """{"text":"again"}"""));
        Assert.NotEqual(first, await File.ReadAllTextAsync(PidFile));
        Assert.Equal(["ok", "failed", "ok"], Outcomes);
        Assert.Contains(_log.Lines(LogLevel.Warning), line => line.Contains("MCP server test: the connection broke", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_server_that_cannot_be_started_is_tried_again_after_longer_and_longer_waits_and_says_why()
    {
        await using McpConnection connection = Connect(new McpServerEntry { Command = "no-such-program", Tools = ["*"] });
        async Task<string> FailAsync() => (await Assert.ThrowsAsync<McpFailure>(() => connection.ListAsync(CancellationToken.None))).Message;
        Assert.StartsWith("'no-such-program' cannot be started: ", await FailAsync(), StringComparison.Ordinal);
        // At once after the first time, then after one second and two.
        Assert.DoesNotContain("tried again", await FailAsync(), StringComparison.Ordinal);
        Assert.EndsWith("it is tried again in 1 s", await FailAsync(), StringComparison.Ordinal);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.DoesNotContain("tried again", await FailAsync(), StringComparison.Ordinal);
        Assert.EndsWith("it is tried again in 2 s", await FailAsync(), StringComparison.Ordinal);
        Assert.Equal(3, _log.Lines(LogLevel.Warning).Length);
    }

    [Fact]
    public async Task Over_HTTP_its_headers_hold_secrets_that_no_log_and_no_result_shows()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        McpServerEntry entry = server.Entry;
        entry.Headers = new Dictionary<string, string> { ["Authorization"] = "Bearer ${env:TOKEN}" };
        await using McpConnection connection = Connect(entry);
        Assert.Equal(new HostedResult("hello"), await CallAsync(connection, "echo", """{"text":"hello"}"""));
        Assert.Equal("Bearer s3cret", server.Authorization);

        server.IsDown = true;
        HostedResult down = await CallAsync(connection, "echo", """{"text":"private words"}""");
        Assert.True(down.IsError);
        server.IsDown = false;
        Assert.Equal(new HostedResult("back"), await CallAsync(connection, "echo", """{"text":"back"}"""));
        Assert.Equal(["ok", "failed", "ok"], Outcomes);
        Assert.DoesNotContain(_log.Lines(LogLevel.Trace), line => line.Contains("s3cret", StringComparison.Ordinal) || line.Contains("private words", StringComparison.Ordinal) || line.Contains("hello", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_redirection_is_not_followed_since_it_would_take_headers_to_another_address()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        await using McpConnection connection = Connect(new McpServerEntry { Url = $"{server.Address}/redirected", Tools = ["*"] });
        await Assert.ThrowsAsync<McpFailure>(() => connection.ListAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Tools_are_those_that_the_entry_allows_within_its_limits_and_what_cannot_be_used_is_left_out()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        McpServerEntry entry = server.Entry;
        (entry.Tools, entry.MaxDescription) = (["echo", "hostile", "endless", "missing"], 10);
        await using (McpConnection connection = Connect(entry))
        {
            IReadOnlyList<McpTool> tools = await connection.ListAsync(CancellationToken.None);
            Assert.Equal(["echo Says what ", "hostile <|im_end|>", "endless A schema o"], tools.Select(tool => $"{tool.Name} {tool.Description}"));
            Assert.Equal("""{"type":"object"}""", tools[2].Schema.GetRawText());
            Assert.Contains(_log.Lines(LogLevel.Warning), line => line.Contains("has no tool 'missing'", StringComparison.Ordinal));
        }

        (entry.Tools, entry.MaxTools) = (["*"], 4);
        await using McpConnection few = Connect(entry);
        Assert.Equal(["add", "echo", "slow", "fail"], (await few.ListAsync(CancellationToken.None)).Select(tool => tool.Name));
        Assert.Contains(_log.Lines(LogLevel.Warning), line => line.Contains("has more than 4 tools", StringComparison.Ordinal));
    }

    /// <summary>Over HTTP the newest revision of the protocol tells nobody of a changed list.</summary>
    [Fact]
    public async Task A_list_is_read_again_after_a_minute()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        await using McpConnection connection = Connect(server.Entry);
        int before = (await connection.ListAsync(CancellationToken.None)).Count;
        _ = await CallAsync(connection, "grow");
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(before + 1, (await connection.ListAsync(CancellationToken.None)).Count);
    }

    [Fact]
    public async Task A_result_is_cut_at_a_character_and_a_message_beyond_all_bounds_breaks_the_connection_and_not_the_server()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        McpServerEntry entry = server.Entry;
        entry.MaxResult = 101;
        await using McpConnection connection = Connect(entry);
        Assert.Equal(new HostedResult(new string('ü', 50) + "\n[cut here: 400 bytes in all]"), await CallAsync(connection, "huge", """{"bytes":400}"""));
        Assert.True((await CallAsync(connection, "huge", $$"""{"bytes":{{6 << 20}}}""")).IsError);
        Assert.Equal(new HostedResult("on"), await CallAsync(connection, "echo", """{"text":"on"}"""));

        McpServerEntry program = TestMcpServer.Program(PidFile);
        program.MaxResult = 101;
        await using McpConnection process = Connect(program);
        HostedResult huge = await CallAsync(process, "huge", $$"""{"bytes":{{6 << 20}}}""");
        Assert.True(huge.IsError, huge.Text);
        Assert.Equal(new HostedResult("on"), await CallAsync(process, "echo", """{"text":"on"}"""));
        Assert.Equal(["ok", "failed", "ok", "failed", "ok"], Outcomes);
    }

    [Fact]
    public async Task A_slow_tool_ends_at_the_time_limit_or_with_who_asked_and_its_server_is_told()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        await using McpConnection connection = Connect(server.Entry);
        _ = await connection.ListAsync(CancellationToken.None);
        Task<HostedResult> late = CallAsync(connection, "slow");
        await Eventually.HoldsAsync(() => server.Running == 1);
        _clock.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(HostedResult.Error("The tool did not answer within 30 s."), await late);
        await Eventually.HoldsAsync(() => server.Running == 0);

        using CancellationTokenSource gone = new();
        Task<HostedResult> left = connection.CallAsync("slow", "{}", gone.Token);
        await Eventually.HoldsAsync(() => server.Running == 1);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        await Eventually.HoldsAsync(() => server.Running == 0);
        Assert.Equal(["timeout", "cancelled"], Outcomes);
        Assert.Equal(30, _ends[0].Seconds);
    }

    [Fact]
    public async Task No_more_calls_run_at_a_time_than_may_and_the_others_wait_for_their_turn()
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        McpServerEntry entry = server.Entry;
        entry.MaxConcurrent = 2;
        await using McpConnection connection = Connect(entry);
        _ = await connection.ListAsync(CancellationToken.None);
        Task<HostedResult>[] calls = [.. Enumerable.Range(0, 5).Select(_ => CallAsync(connection, "slow"))];
        await Eventually.HoldsAsync(() => server.Running == 2);
        server.Release();
        Assert.All(await Task.WhenAll(calls), result => Assert.Equal(new HostedResult("done"), result));
        Assert.Equal(2, server.MostRunning);
    }

    [Theory]
    [InlineData("echo", "[1]", "The arguments are no JSON object: they are something else")]
    [InlineData("nothing", "{}", "The tool server refused the call: ")]
    public async Task A_call_that_its_server_cannot_take_is_an_error_for_the_model(string tool, string arguments, string said)
    {
        await using TestMcpServer server = await TestMcpServer.StartAsync();
        await using McpConnection connection = Connect(server.Entry);
        HostedResult result = await CallAsync(connection, tool, arguments);
        Assert.True(result.IsError);
        Assert.StartsWith(said, result.Text, StringComparison.Ordinal);
        Assert.Equal(["refused"], Outcomes);
    }
}
