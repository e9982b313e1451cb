using System.Text;
using System.Text.Json.Nodes;
using InferenceServer.Library;
using InferenceServer.Tests.Llama;

namespace InferenceServer.Tests.Library;

/// <summary>Fetching from a stand-in of the hubs that fails in every way that hubs do.</summary>
public sealed class PullTests : IAsyncLifetime
{
    private const string Repository = "maker/Tiny-GGUF";
    private const string Model = "hf:maker/Tiny-GGUF:Q4_K_M";
    private const string FileName = "Tiny-Q4_K_M.gguf";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("library-");
    private readonly byte[] _bytes = TestGguf.Make();
    private StandInHub _hub = null!;
    private string _sha = "";

    public async Task InitializeAsync()
    {
        _hub = await StandInHub.StartAsync();
        _sha = _hub.Add(Repository, FileName, _bytes);
    }

    public async Task DisposeAsync()
    {
        await _hub.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    private ModelLibrary Open(Func<LibraryOptions, LibraryOptions>? change = null) => ModelLibrary.Open((change ?? (options => options))(_hub.Options(_folder.FullName)));

    private async Task<LibraryException> FailAsync(string model = Model, Func<LibraryOptions, LibraryOptions>? change = null)
    {
        using ModelLibrary library = Open(change);
        return await Assert.ThrowsAsync<LibraryException>(() => library.PullAsync(new PullRequest(model)));
    }

    private string BlobPath => Path.Combine(_folder.FullName, "blobs", $"sha256-{_sha}");

    private string[] Leftovers => [.. Directory.GetFiles(Path.Combine(_folder.FullName, "partial")).Select(path => Path.GetFileName(path))];

    [Fact]
    public async Task A_model_comes_whole_in_several_ranges_under_its_hash_and_is_found_by_every_name()
    {
        using ModelLibrary library = Open();
        Heard heard = new();
        ModelManifest pulled = await library.PullAsync(new PullRequest(Model), heard);

        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.Empty(Leftovers);
        Assert.Equal(("maker/Tiny-GGUF:Q4_K_M", "0123abcd", "Q4_K_M", "apache-2.0", "llama", 4096), (pulled.Name, pulled.Revision, pulled.Quant, pulled.License, pulled.Details.Architecture, pulled.Details.ContextLength));
        foreach (string name in (string[])["maker/tiny-gguf:q4_k_m", "Tiny-GGUF", "MAKER/Tiny-GGUF", Model, "hf:maker/Tiny-GGUF", "hf.co/maker/tiny-gguf"])
            Assert.Equal(BlobPath, library.Resolve(name).Path);
        Assert.True(_hub.Requests.Where(asked => asked.Range.Length > 0 && asked.Host == "store").Select(asked => asked.Range).Distinct().Count() > 1, "one connection did it all");
        Assert.Equal([PullPhase.ReadingManifest, PullPhase.Downloading, PullPhase.Verifying, PullPhase.WritingManifest, PullPhase.Done], heard.All.Select(told => told.Phase).Distinct());
        Assert.Equal(_bytes.Length, heard.All.Last().TotalSize);
    }

    [Fact]
    public async Task A_second_pull_fetches_nothing()
    {
        using ModelLibrary library = Open();
        await library.PullAsync(new PullRequest(Model));
        long sent = _hub.SentBytes;
        await library.PullAsync(new PullRequest(Model, Name: "mine"));
        Assert.Equal(sent, _hub.SentBytes);
        Assert.Equal(library.Resolve("mine").Path, library.Resolve(Model).Path);
    }

    [Fact]
    public async Task The_token_goes_to_the_hub_and_to_nobody_that_it_leads_to()
    {
        using ModelLibrary library = Open(options => options with { HubToken = "hf_secret" });
        await library.PullAsync(new PullRequest(Model));
        Assert.All(_hub.Requests.Where(asked => asked.Host == "hub"), asked => Assert.Equal("Bearer hf_secret", asked.Authorization));
        Assert.All(_hub.Requests.Where(asked => asked.Host == "store"), asked => Assert.Equal("", asked.Authorization));
        Assert.Contains(_hub.Requests, asked => asked.Host == "store");
        Assert.DoesNotContain("hf_secret", string.Concat(Directory.GetFiles(_folder.FullName, "*.json", SearchOption.AllDirectories).Select(File.ReadAllText)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_hub_is_asked_once_where_a_file_lies_and_not_for_every_range()
    {
        using ModelLibrary library = Open(options => options with { Connections = 1, SegmentBytes = 1 << 20 });
        _hub.HoldAfter = 100_000;
        using CancellationTokenSource stop = new();
        Task pull = library.PullAsync(new PullRequest(Model), null, stop.Token);
        await Eventually.HoldsAsync(() => _hub.SentBytes >= 100_000);
        _hub.Go.SetResult();
        await pull;
        Assert.Single(_hub.Requests, asked => asked.Host == "hub" && asked.Path.Contains("/resolve/", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_address_that_the_hub_has_signed_and_that_ends_is_asked_for_again()
    {
        using ModelLibrary library = Open();
        int refused = 0;
        // The third download, when the address is known already.
        _hub.Refuse = http => http.Request.QueryString.Value!.Contains("signature", StringComparison.Ordinal) && Interlocked.Increment(ref refused) == 3 ? 403 : null;
        await library.PullAsync(new PullRequest(Model));
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
    }

    [Theory]
    [InlineData("ftp://127.0.0.1/x")]
    [InlineData("file:///etc/passwd")]
    public async Task A_redirect_to_anything_but_http_is_refused(string target)
    {
        _hub.RedirectsTo = target;
        LibraryException failure = await FailAsync();
        Assert.Equal(LibraryProblem.Unreachable, failure.Problem);
        Assert.Contains("not https", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_redirect_in_a_circle_ends()
    {
        _hub.RedirectsTo = new Uri(_hub.Address, $"{Repository}/resolve/0123abcd/{FileName}").AbsoluteUri;
        Assert.Contains("more than 10 times", (await FailAsync()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_sends_whole_files_only_is_enough()
    {
        _hub.RefusesRanges = true;
        Heard heard = new();
        using ModelLibrary library = Open();
        await library.PullAsync(new PullRequest(Model), heard);
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.Contains(heard.All, told => told.Note?.Contains("whole files only", StringComparison.Ordinal) == true);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cut_connections_go_on_where_they_ended(bool wholeFilesOnly)
    {
        _hub.RefusesRanges = wholeFilesOnly;
        // Fewer than a connection tries in a row: what is cut may lose all that it had sent.
        _hub.Cuts = wholeFilesOnly ? 3 : 5;
        using ModelLibrary library = Open();
        await library.PullAsync(new PullRequest(Model));
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.Equal(0, _hub.Cuts);
        if (!wholeFilesOnly)
            Assert.True(_hub.SentBytes < 2 * _bytes.Length, $"{_hub.SentBytes} bytes were sent for {_bytes.Length}");
    }

    [Fact]
    public async Task A_hub_that_always_cuts_is_given_up_and_what_came_is_kept()
    {
        (_hub.Cuts, _hub.CutAfter) = (int.MaxValue, 0);
        LibraryException failure = await FailAsync();
        Assert.Equal(LibraryProblem.Unreachable, failure.Problem);
        Assert.Contains("what has come is kept", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_hash_deletes_what_came_and_says_both()
    {
        byte[] other = [.. _bytes];
        other[^1] ^= 1;
        _hub.Replace(Repository, FileName, other);
        LibraryException failure = await FailAsync();
        Assert.Equal(LibraryProblem.WrongHash, failure.Problem);
        Assert.Contains(_sha, failure.Message, StringComparison.Ordinal);
        Assert.Contains(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(other)), failure.Message, StringComparison.Ordinal);
        Assert.Empty(Leftovers);
        Assert.False(File.Exists(BlobPath));
    }

    [Theory]
    [InlineData(401, null, false, LibraryProblem.Unauthorized, "Set HF_TOKEN")]
    [InlineData(401, null, true, LibraryProblem.Unauthorized, "does not accept the token in HF_TOKEN")]
    [InlineData(401, "GatedRepo", false, LibraryProblem.Gated, "accept its terms on 127.0.0.1, then set HF_TOKEN")]
    [InlineData(403, "GatedRepo", true, LibraryProblem.Gated, "the account of the token in HF_TOKEN has not done so")]
    [InlineData(403, null, false, LibraryProblem.Gated, "accept its terms there")]
    [InlineData(404, null, false, LibraryProblem.NotFound, "has no model 'maker/Tiny-GGUF'")]
    [InlineData(418, null, false, LibraryProblem.Unreachable, "answered 418")]
    public async Task A_refusal_says_what_it_means_and_what_to_do(int status, string? code, bool hasToken, LibraryProblem problem, string says)
    {
        _hub.Refuse = http =>
        {
            if (code is not null)
                http.Response.Headers["X-Error-Code"] = code;
            return status;
        };
        LibraryException failure = await FailAsync(change: options => options with { HubToken = hasToken ? "hf_secret" : null });
        Assert.Equal(problem, failure.Problem);
        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hf_secret", failure.Message, StringComparison.Ordinal);
        Assert.Single(_hub.Requests);
    }

    [Fact]
    public async Task A_busy_hub_is_left_alone_for_as_long_as_it_asks()
    {
        List<TimeSpan> waits = [];
        int busy = 0;
        _hub.Refuse = http =>
        {
            if (Interlocked.Increment(ref busy) > 2)
                return null;
            http.Response.Headers.RetryAfter = "7";
            return 429;
        };
        using ModelLibrary library = Open(options => options with
        {
            Delay = (wait, _) =>
            {
                waits.Add(wait);
                return Task.CompletedTask;
            },
        });
        await library.PullAsync(new PullRequest(Model));
        Assert.Equal([TimeSpan.FromSeconds(7), TimeSpan.FromSeconds(7)], waits);
    }

    [Fact]
    public async Task A_hub_that_asks_for_an_hour_is_not_waited_for()
    {
        _hub.Refuse = http =>
        {
            http.Response.Headers.RetryAfter = "3600";
            return 429;
        };
        LibraryException failure = await FailAsync();
        Assert.Equal((LibraryProblem.Busy, TimeSpan.FromHours(1)), (failure.Problem, failure.RetryAfter!.Value));
        Assert.Contains("3600 s", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Waits_without_a_time_grow_and_end()
    {
        List<TimeSpan> waits = [];
        _hub.Refuse = _ => 503;
        LibraryException failure = await FailAsync(change: options => options with
        {
            Delay = (wait, _) =>
            {
                waits.Add(wait);
                return Task.CompletedTask;
            },
        });
        Assert.Equal((LibraryProblem.Busy, 5), (failure.Problem, waits.Count));
        Assert.True(waits[^1] > 4 * waits[0], string.Join(' ', waits));
    }

    [Fact]
    public async Task A_file_that_changes_between_two_ranges_is_fetched_anew()
    {
        // The second answer is of other bytes; from then on it stays.
        _hub.TagOf = answer => answer == 1 ? "\"old\"" : "\"new\"";
        Heard heard = new();
        using ModelLibrary library = Open();
        await library.PullAsync(new PullRequest(Model), heard);
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.Contains(heard.All, told => told.Note?.Contains("fetched anew", StringComparison.Ordinal) == true);
    }

    [Fact]
    public async Task A_file_that_never_stops_changing_is_given_up()
    {
        _hub.TagOf = answer => $"\"{answer}\"";
        LibraryException failure = await FailAsync();
        Assert.Equal(LibraryProblem.Changed, failure.Problem);
        Assert.Contains("ETag", failure.Message, StringComparison.Ordinal);
        Assert.Empty(Leftovers);
    }

    [Fact]
    public async Task A_file_of_another_size_than_promised_is_refused()
    {
        _hub.Add("maker/Liar-GGUF", "a-Q4_0.gguf", _bytes, size: _bytes.Length - 1000);
        Assert.Equal(LibraryProblem.Changed, (await FailAsync("hf:maker/Liar-GGUF")).Problem);
    }

    [Theory]
    [InlineData("../../x.gguf")]
    [InlineData("/etc/x.gguf")]
    [InlineData("a/../../x.gguf")]
    [InlineData("C:\\x.gguf")]
    [InlineData("..\\x.gguf")]
    [InlineData("x\u0000y.gguf")]
    [InlineData("x\u001b[2Jy.gguf")]
    public async Task A_hostile_file_name_is_refused_and_shown_without_its_teeth(string name)
    {
        _hub.Add("maker/Bad-GGUF", name, _bytes);
        LibraryException failure = await FailAsync("hf:maker/Bad-GGUF");
        Assert.Equal(LibraryProblem.BadFile, failure.Problem);
        Assert.DoesNotContain(failure.Message, char.IsControl);
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Theory]
    [InlineData("CON.gguf")]
    [InlineData("nul-Q4_0.gguf")]
    [InlineData("a very long name with spaces and ünïcode Q4_0.gguf")]
    public async Task Odd_file_names_become_no_paths(string name)
    {
        _hub.Add("maker/Odd-GGUF", name, _bytes);
        using ModelLibrary library = Open();
        ModelManifest pulled = await library.PullAsync(new PullRequest("hf:maker/Odd-GGUF"));
        Assert.Equal(name, pulled.Files[0].Name);
        Assert.Equal(BlobPath, library.Resolve(pulled.Name).Path);
    }

    [Fact]
    public async Task A_file_without_a_hash_in_the_metadata_is_not_fetched()
    {
        _hub.Add("maker/Plain-GGUF", "a-Q4_0.gguf", _bytes, sha: "");
        Assert.Contains("no SHA-256", (await FailAsync("hf:maker/Plain-GGUF")).Message, StringComparison.Ordinal);
        Assert.Equal(0, _hub.SentBytes);
    }

    [Fact]
    public async Task What_is_no_GGUF_file_gets_no_name()
    {
        _hub.Add("maker/Fake-GGUF", "a-Q4_0.gguf", Encoding.UTF8.GetBytes(new string('x', 50_000)));
        LibraryException failure = await FailAsync("hf:maker/Fake-GGUF");
        Assert.Equal(LibraryProblem.BadFile, failure.Problem);
        using ModelLibrary library = Open();
        Assert.Empty(library.List());
    }

    [Fact]
    public async Task A_page_in_place_of_the_hubs_answer_is_told_as_one()
    {
        _hub.Page = "<html>Sign in to the network</html>";
        LibraryException failure = await FailAsync();
        Assert.Contains("is there a page in front of it?", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_little_disk_space_is_told_before_anything_is_fetched()
    {
        LibraryException failure = await FailAsync(change: options => options with { FreeDiskBytes = _ => 1000 });
        Assert.Equal(LibraryProblem.DiskFull, failure.Problem);
        Assert.Contains("1000 B are free", failure.Message, StringComparison.Ordinal);
        Assert.Equal(0, _hub.SentBytes);
    }

    [Fact]
    public async Task Without_the_network_nothing_is_asked_and_what_is_here_is_enough()
    {
        LibraryException failure = await FailAsync(change: options => options with { Offline = true });
        Assert.Equal(LibraryProblem.Offline, failure.Problem);
        Assert.Empty(_hub.Requests);
        using (ModelLibrary online = Open())
            await online.PullAsync(new PullRequest(Model));
        int asked = _hub.Requests.Count;
        using ModelLibrary library = Open(options => options with { Offline = true });
        Assert.Equal(_sha, (await library.PullAsync(new PullRequest(Model))).Files[0].Sha256);
        Assert.Equal(asked, _hub.Requests.Count);
    }

    [Fact]
    public async Task A_pull_that_was_called_off_goes_on_where_it_ended()
    {
        _hub.HoldAfter = 40_000;
        using ModelLibrary library = Open();
        using CancellationTokenSource stop = new();
        Task pull = library.PullAsync(new PullRequest(Model), null, stop.Token);
        // What the hub has sent may still be on its way.
        await Eventually.HoldsAsync(() => library.FetchedBytes >= 4 * 40_000);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pull);
        Assert.False(File.Exists(BlobPath));

        (_hub.HoldAfter, long sent) = (null, _hub.SentBytes);
        Heard heard = new();
        await library.PullAsync(new PullRequest(Model), heard);
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.True(_hub.SentBytes - sent <= _bytes.Length - (4 * 40_000) + (4 * 8192), $"{_hub.SentBytes - sent} of {_bytes.Length} bytes were fetched again");
        Assert.True(heard.All.First(told => told.Phase == PullPhase.Downloading).Completed >= 120_000, "the progress began at nothing");
    }

    [Fact]
    public async Task A_pull_whose_process_is_killed_loses_at_most_what_its_journal_has_not_noted()
    {
        _hub.HoldAfter = 40_000;
        using System.Diagnostics.Process child = ChildProcess.Start("pull", _folder.FullName, _hub.Address.AbsoluteUri, Model);
        await Eventually.HoldsAsync(() => _hub.SentBytes >= 4 * 40_000);
        string journal = Path.Combine(_folder.FullName, "partial", $"{_sha}.journal");
        await Eventually.HoldsAsync(() => PartialFile.DoneBytes(journal[..^".journal".Length]) >= 4 * 32_768);
        child.Kill(); // As kill -9: no handler runs.
        await child.WaitForExitAsync();
        Assert.False(File.Exists(BlobPath));
        using ModelLibrary library = Open();
        Assert.Empty(library.List());

        (_hub.HoldAfter, long sent) = (null, _hub.SentBytes);
        await library.PullAsync(new PullRequest(Model));
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.True(_hub.SentBytes - sent <= _bytes.Length - (4 * 32_768), $"{_hub.SentBytes - sent} of {_bytes.Length} bytes were fetched again");
    }

    [Fact]
    public async Task Two_processes_that_pull_the_same_file_fetch_it_once()
    {
        _hub.HoldAfter = 40_000;
        using System.Diagnostics.Process child = ChildProcess.Start("pull", _folder.FullName, _hub.Address.AbsoluteUri, Model);
        await Eventually.HoldsAsync(() => _hub.SentBytes >= 4 * 40_000);
        Heard heard = new();
        using ModelLibrary library = Open();
        Task<ModelManifest> pull = library.PullAsync(new PullRequest(Model), heard);
        await Eventually.HoldsAsync(() => heard.All.Any(told => told.Phase == PullPhase.Waiting && told.TotalCompleted > 0));
        _hub.Go.SetResult();
        await pull;
        await child.WaitForExitAsync();
        Assert.Equal(0, child.ExitCode);
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
        Assert.True(_hub.SentBytes <= _bytes.Length + 32_768, $"{_hub.SentBytes} bytes were sent for {_bytes.Length}");
    }

    [Fact]
    public async Task A_torn_journal_and_a_foreign_one_cost_bytes_and_nothing_else()
    {
        string partial = Path.Combine(_folder.FullName, "partial", _sha);
        Directory.CreateDirectory(Path.GetDirectoryName(partial)!);
        foreach (string journal in (string[])["size 5\ndone 0 5\n", $"size {_bytes.Length}\ndone 0 99999999999\ndone -3 7\ndone x\n\u0001", $"size {_bytes.Length}\ndone 0 1", ""])
        {
            await File.WriteAllTextAsync($"{partial}.journal", journal);
            await File.WriteAllBytesAsync($"{partial}.data", new byte[10]);
            using ModelLibrary library = Open();
            await library.PullAsync(new PullRequest(Model));
            Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
            await library.RemoveAsync(Model);
        }
    }

    [Fact]
    public async Task A_split_model_comes_with_all_its_parts_and_is_found_by_the_first()
    {
        for (int part = 0; part < 3; part++)
            _hub.Add("maker/Big-GGUF", $"Q8_0/Big-Q8_0-{part + 1:00000}-of-00003.gguf", TestGguf.Make(64, part, part: (part, 3)));
        _hub.Add("maker/Big-GGUF", "mmproj-F16.gguf", TestGguf.Make(8, 9, type: "mmproj"));
        using ModelLibrary library = Open();
        ModelManifest pulled = await library.PullAsync(new PullRequest("maker/Big-GGUF:q8_0"));
        Assert.Equal([LibraryFileRole.Model, LibraryFileRole.Shard, LibraryFileRole.Shard, LibraryFileRole.Projector], pulled.Files.Select(file => file.Role));
        ResolvedModel resolved = library.Resolve(pulled.Name);
        Assert.EndsWith("model-00001-of-00003.gguf", resolved.Path, StringComparison.Ordinal);
        Assert.Equal(3, Directory.GetFiles(Path.GetDirectoryName(resolved.Path)!).Length);
        Assert.NotNull(resolved.ProjectorPath);
        Assert.Equal(3 * 64 * 256, pulled.Details.ParameterCount);
    }

    [Fact]
    public async Task A_split_model_that_lacks_a_part_is_refused()
    {
        foreach (int part in (int[])[0, 2])
            _hub.Add("maker/Torn-GGUF", $"Big-Q8_0-{part + 1:00000}-of-00003.gguf", TestGguf.Make(8, part, part: (part, 3)));
        Assert.Contains("parts 1, 3 of the 3", (await FailAsync("hf:maker/Torn-GGUF")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ollamas_manifest_brings_weights_system_and_parameters()
    {
        byte[] weights = TestGguf.Make(64, 5);
        _hub.AddManifest("library/tiny", "1b", _hub.AddLayer("library/tiny", "application/vnd.docker.container.image.v1+json", """{"file_type":"Q4_0","model_type":"1B"}"""u8.ToArray()),
            _hub.AddLayer("library/tiny", "application/vnd.ollama.image.model", weights),
            _hub.AddLayer("library/tiny", "application/vnd.ollama.image.system", "Be short."u8.ToArray()),
            _hub.AddLayer("library/tiny", "application/vnd.ollama.image.template", "{{ .Prompt }}"u8.ToArray()),
            _hub.AddLayer("library/tiny", "application/vnd.ollama.image.license", "\nMIT License\nText"u8.ToArray()),
            _hub.AddLayer("library/tiny", "application/vnd.ollama.image.params", """{"stop":["<a>","<b>"],"temperature":0.5,"mirostat":1}"""u8.ToArray()));
        using ModelLibrary library = Open(options => options with { HubToken = "hf_secret", HubEndpoint = new Uri("http://127.0.0.1:1") });
        ModelManifest pulled = await library.PullAsync(new PullRequest("tiny:1b"));
        Assert.Equal(("tiny:1b", "ollama:tiny:1b", "Q4_0", "Be short.", "MIT License"), (pulled.Name, pulled.Source, pulled.Quant, pulled.System, pulled.License));
        Assert.Equal("""["<a>","<b>"]""", pulled.Parameters["stop"].GetRawText());
        Assert.Equal(0.5, pulled.Parameters["temperature"].GetDouble());
        Assert.Contains(pulled.Notes, note => note.Contains("mirostat", StringComparison.Ordinal));
        Assert.Contains(pulled.Notes, note => note.Contains("Go's template language", StringComparison.Ordinal));
        Assert.Null(library.Resolve("tiny:1b").TemplatePath);
        Assert.All(_hub.Requests, asked => Assert.Equal("", asked.Authorization));
    }

    [Fact]
    public async Task What_an_Ollama_of_this_machine_has_is_not_fetched_again()
    {
        byte[] weights = TestGguf.Make(64, 6);
        JsonObject layer = _hub.AddLayer("library/here", "application/vnd.ollama.image.model", weights);
        string ollama = Path.Combine(_folder.FullName, "ollama"), digest = layer["digest"]!.GetValue<string>().Replace(':', '-');
        Directory.CreateDirectory(Path.Combine(ollama, "manifests", "registry.ollama.ai", "library", "here"));
        Directory.CreateDirectory(Path.Combine(ollama, "blobs"));
        await File.WriteAllTextAsync(Path.Combine(ollama, "manifests", "registry.ollama.ai", "library", "here", "latest"), new JsonObject { ["layers"] = new JsonArray(layer) }.ToJsonString());
        await File.WriteAllBytesAsync(Path.Combine(ollama, "blobs", digest), weights);
        string folder = Path.Combine(_folder.FullName, "library");
        using ModelLibrary library = ModelLibrary.Open(_hub.Options(folder) with { OllamaFolders = [ollama], Offline = true });
        ModelManifest pulled = await library.PullAsync(new PullRequest("ollama:here"));
        Assert.Equal(weights, await File.ReadAllBytesAsync(library.Resolve("here").Path));
        Assert.Empty(_hub.Requests);

        // A blob that is not what its name says is worth nothing.
        await library.RemoveAsync(pulled.Name);
        weights[^1] ^= 1;
        await File.WriteAllBytesAsync(Path.Combine(ollama, "blobs", digest), weights);
        Assert.Equal(LibraryProblem.Offline, (await Assert.ThrowsAsync<LibraryException>(() => library.PullAsync(new PullRequest("ollama:here")))).Problem);
    }

    [Fact]
    public async Task A_mirror_and_a_token_come_from_the_environment()
    {
        Dictionary<string, string> environment = new() { ["HF_ENDPOINT"] = _hub.Address.AbsoluteUri + "mirror/", ["HF_TOKEN"] = " hf_secret\n", ["HF_HUB_OFFLINE"] = "1" };
        LibraryOptions options = LibraryOptions.FromEnvironment(_folder.FullName, null, null, null, environment.GetValueOrDefault);
        Assert.Equal(("hf_secret", true), (options.HubToken, options.Offline));
        using ModelLibrary library = ModelLibrary.Open(options with { Offline = false });
        await Assert.ThrowsAsync<LibraryException>(() => library.PullAsync(new PullRequest(Model)));
        Assert.Equal("mirror/api/models/maker/Tiny-GGUF", Assert.Single(_hub.Requests).Path);
        environment["HF_ENDPOINT"] = "hub";
        Assert.Contains("HF_ENDPOINT", Assert.Throws<LibraryException>(() => LibraryOptions.FromEnvironment(".", null, null, null, environment.GetValueOrDefault)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_proxy_of_the_environment_is_asked_instead_of_the_hub()
    {
        // The stand-in takes the whole address that a proxy is given, and answers itself: nobody could reach this hub.
        _hub.Redirects = false;
        using System.Diagnostics.Process child = ChildProcess.Start(
            new Dictionary<string, string?> { ["HTTP_PROXY"] = _hub.Address.AbsoluteUri, ["http_proxy"] = _hub.Address.AbsoluteUri, ["NO_PROXY"] = "", ["no_proxy"] = "" },
            "pull", _folder.FullName, "http://hub.invalid/", Model);
        await child.WaitForExitAsync();
        Assert.Equal(0, child.ExitCode);
        Assert.Equal(_bytes, await File.ReadAllBytesAsync(BlobPath));
    }

    [Fact]
    public async Task A_silent_hub_is_given_up()
    {
        _hub.HoldAfter = 0;
        LibraryException failure = await FailAsync(change: options => options with { SilenceLimit = TimeSpan.FromMilliseconds(50) });
        Assert.Contains("nothing came", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_removal_beside_a_pull_takes_nothing_of_it()
    {
        using ModelLibrary library = Open();
        await library.PullAsync(new PullRequest(Model));
        await library.RemoveAsync(Model);
        _hub.HoldAfter = 40_000;
        Task<ModelManifest> pull = library.PullAsync(new PullRequest(Model));
        await Eventually.HoldsAsync(() => _hub.SentBytes >= _bytes.Length + 40_000);
        string other = Path.Combine(_folder.FullName, "other.gguf");
        await File.WriteAllBytesAsync(other, TestGguf.Make(8, 3));
        await library.ImportAsync(other, "other");
        await library.RemoveAsync("other");
        _hub.Go.SetResult();
        Assert.Equal(BlobPath, library.Resolve((await pull).Name).Path);
    }
}
