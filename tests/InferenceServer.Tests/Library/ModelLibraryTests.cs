using System.Text;
using System.Text.Json;
using InferenceServer.Library;

namespace InferenceServer.Tests.Library;

/// <summary>Names and files in a folder, without any hub.</summary>
public sealed class ModelLibraryTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("library-");
    private readonly ModelLibrary _library;

    public ModelLibraryTests() => _library = Open();

    private ModelLibrary Open() => ModelLibrary.Open(new LibraryOptions { Folder = Path.Combine(_folder.FullName, "models"), Offline = true });

    public void Dispose()
    {
        _library.Dispose();
        _folder.Delete(recursive: true);
    }

    private string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(_folder.FullName, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private string[] Blobs => [.. Directory.GetFiles(Path.Combine(_library.Folder, "blobs")).Select(path => Path.GetFileName(path)!)];

    [Fact]
    public async Task An_imported_file_takes_no_second_space_and_outlives_its_first_name()
    {
        string path = Write("Some-Model-Q4_K_M.gguf", TestGguf.Make(32));
        ModelManifest imported = await _library.ImportAsync(path);
        Assert.Equal(("Some-Model-Q4_K_M:latest", path, "Q4_K_M"), (imported.Name, imported.Source, imported.Quant));
        byte[] bytes = await File.ReadAllBytesAsync(path);
        File.Delete(path);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(_library.Resolve("some-model-q4_k_m").Path));
        Assert.Equal(bytes, await File.ReadAllBytesAsync(_library.Resolve("some-model-q4_k_m.gguf").Path));
    }

    [Fact]
    public async Task An_import_takes_all_parts_or_none()
    {
        string first = Write("Big-00001-of-00002.gguf", TestGguf.Make(8, 1, part: (0, 2)));
        Assert.Contains("Big-00002-of-00002.gguf is missing", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync(first))).Message, StringComparison.Ordinal);
        string second = Write("Big-00002-of-00002.gguf", TestGguf.Make(8, 2, part: (1, 2)));
        Assert.Contains("name the first", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync(second))).Message, StringComparison.Ordinal);
        ModelManifest imported = await _library.ImportAsync(first);
        Assert.Equal(("Big:latest", 2), (imported.Name, imported.Files.Count));
        Assert.True(File.Exists(_library.Resolve("big").Path.Replace("00001-of", "00002-of", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task What_is_no_model_is_not_imported()
    {
        Assert.Contains("there is no file", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync("nowhere.gguf"))).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync(_folder.FullName))).Message, StringComparison.Ordinal);
        Assert.Contains("not start with GGUF", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync(Write("x.gguf", new byte[100])))).Message, StringComparison.Ordinal);
        Assert.Contains("holds adapter", (await Assert.ThrowsAsync<LibraryException>(() => _library.ImportAsync(Write("a.gguf", TestGguf.Make(8, type: "adapter"))))).Message, StringComparison.Ordinal);
        Assert.Empty(_library.List());
    }

    [Fact]
    public async Task Removing_a_name_keeps_what_another_needs()
    {
        await _library.ImportAsync(Write("a.gguf", TestGguf.Make(32)));
        await _library.CopyAsync("a", "team/b:v1");
        Assert.Equal(0, (await _library.RemoveAsync("a")).FreedBytes);
        Assert.Single(Blobs);
        Assert.True((await _library.RemoveAsync("b")).FreedBytes > 30_000);
        Assert.Empty(Blobs);
        LibraryException missing = Assert.Throws<LibraryException>(() => _library.Show("b"));
        Assert.Equal(LibraryProblem.NotFound, missing.Problem);
    }

    [Fact]
    public async Task A_removal_sweeps_old_files_that_nobody_names_and_leaves_new_ones()
    {
        await _library.ImportAsync(Write("a.gguf", TestGguf.Make(32)));
        foreach ((char digit, int hours) in ((char, int)[])[('1', 2), ('2', 0)])
        {
            string orphan = Path.Combine(_library.Folder, "blobs", $"sha256-{new string(digit, 64)}");
            await File.WriteAllTextAsync(orphan, "x");
            File.SetLastWriteTimeUtc(orphan, DateTime.UtcNow.AddHours(-hours));
        }

        await _library.RemoveAsync("a");
        Assert.Equal([$"sha256-{new string('2', 64)}"], Blobs);
    }

    [Fact]
    public async Task A_model_is_made_of_another_with_a_template_a_system_message_and_parameters()
    {
        await _library.ImportAsync(Write("base.gguf", TestGguf.Make(32)));
        Modelfile modelfile = Modelfile.Parse("FROM base\nSYSTEM Be kind.\nTEMPLATE \"\"\"{{ messages[0].content }}\"\"\"\nPARAMETER temperature 0.1\nPARAMETER stop a\nPARAMETER stop b\n");
        ModelManifest created = await _library.CreateAsync("kind", modelfile, allowPaths: false);
        Assert.Equal("Be kind.", created.System);
        Assert.Equal("{{ messages[0].content }}", await File.ReadAllTextAsync(_library.Resolve("kind").TemplatePath!));
        Assert.Equal(_library.Resolve("base").Path, _library.Resolve("kind").Path);

        // What is made of it again inherits, and says otherwise where it does.
        ModelManifest again = await _library.CreateAsync("kinder", Modelfile.Parse("from kind\nparameter temperature 0.9"), allowPaths: false);
        Assert.Equal(("Be kind.", 0.9, 2), (again.System, again.Parameters["temperature"].GetDouble(), again.Parameters["stop"].GetArrayLength()));
        Assert.NotNull(_library.Resolve("kinder").TemplatePath);
        Assert.NotEqual(created.Digest, again.Digest);
    }

    [Fact]
    public async Task Over_HTTP_a_Modelfile_reads_no_file_of_the_server()
    {
        string path = Write("secret.gguf", TestGguf.Make(8));
        foreach (string from in (string[])[path, "/etc/passwd", "./x", "~/.ssh/id", "C:\\x"])
            Assert.Contains("over HTTP", (await Assert.ThrowsAsync<LibraryException>(() => _library.CreateAsync("m", new Modelfile { From = from }, allowPaths: false))).Message, StringComparison.Ordinal);
        Assert.Equal("m:latest", (await _library.CreateAsync("m", new Modelfile { From = path }, allowPaths: true)).Name);
        Assert.Contains("over HTTP", (await Assert.ThrowsAsync<LibraryException>(() => _library.CreateAsync("n", new Modelfile { From = "m", Adapters = [path] }, allowPaths: false))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_is_made_of_uploaded_blobs_with_an_adapter()
    {
        byte[] weights = TestGguf.Make(8), adapter = TestGguf.Make(8, 2, type: "adapter");
        string Hash(byte[] bytes) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes));
        await Assert.ThrowsAsync<LibraryException>(() => _library.CreateAsync("m", new Modelfile { From = $"@sha256:{Hash(weights)}" }, allowPaths: false));
        LibraryException wrong = await Assert.ThrowsAsync<LibraryException>(() => _library.AddBlobAsync(Hash(adapter), new MemoryStream(weights), default));
        Assert.Equal(LibraryProblem.WrongHash, wrong.Problem);
        await _library.AddBlobAsync(Hash(weights), new MemoryStream(weights), default);
        await _library.AddBlobAsync(Hash(adapter).ToUpperInvariant(), new MemoryStream(adapter), default);
        Assert.True(_library.HasBlob(Hash(adapter)));
        Assert.False(_library.HasBlob("../x"));
        ModelManifest made = await _library.CreateAsync("m", new Modelfile { From = $"@sha256:{Hash(weights)}", Adapters = [$"@sha256:{Hash(adapter)}"] }, allowPaths: false);
        Assert.Equal([LibraryFileRole.Model, LibraryFileRole.Adapter], made.Files.Select(file => file.Role));
        Assert.Single(_library.Resolve("m").AdapterPaths);
        // An adapter is no model, and a model no adapter.
        Assert.Contains("it is an adapter", (await Assert.ThrowsAsync<LibraryException>(() => _library.CreateAsync("x", new Modelfile { From = $"@sha256:{Hash(adapter)}" }, allowPaths: false))).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Path.Combine(_library.Folder, "partial")));
    }

    [Fact]
    public async Task A_damaged_file_is_told_and_set_aside()
    {
        string path = Write("a.gguf", TestGguf.Make(32));
        await _library.ImportAsync(path, copy: true);
        Assert.All(await _library.VerifyAsync(), check => Assert.Null(check.Problem));
        string blob = _library.Resolve("a").Path;
        byte[] bytes = await File.ReadAllBytesAsync(blob);
        bytes[^1] ^= 1;
        await File.WriteAllBytesAsync(blob, bytes);
        FileCheck check = Assert.Single(await _library.VerifyAsync("a"));
        Assert.Contains("set aside", check.Problem, StringComparison.Ordinal);
        Assert.Contains("import PATH", check.Problem, StringComparison.Ordinal);
        Assert.Equal(LibraryProblem.NotFound, Assert.Throws<LibraryException>(() => _library.Resolve("a")).Problem);
        await _library.ImportAsync(path);
        Assert.All(await _library.VerifyAsync(), again => Assert.Null(again.Problem));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("not json")]
    [InlineData("""{"version":9,"name":"a:latest","source":"x","files":[],"details":{"architecture":"","parameter_count":0,"quantization":"","context_length":0,"has_chat_template":false},"added_at":"2026-01-01T00:00:00Z"}""")]
    [InlineData("""{"version":1,"name":"a:latest","source":"x","files":[{"name":"x","sha256":"../../../etc/passwd","size":1,"role":"Model"}],"details":{"architecture":"","parameter_count":0,"quantization":"","context_length":0,"has_chat_template":false},"added_at":"2026-01-01T00:00:00Z"}""")]
    [InlineData("""{"version":1,"name":"../b","source":"x","files":[],"details":{"architecture":"","parameter_count":0,"quantization":"","context_length":0,"has_chat_template":false},"added_at":"2026-01-01T00:00:00Z"}""")]
    public async Task A_manifest_that_was_tampered_with_is_told_and_hides_no_other(string text)
    {
        await _library.ImportAsync(Write("good.gguf", TestGguf.Make(8)));
        await File.WriteAllTextAsync(Path.Combine(_library.Folder, "manifests", "a%3alatest.json"), text);
        List<string> damaged = [];
        Assert.Equal(["good:latest"], _library.List((file, _) => damaged.Add(file)).Select(manifest => manifest.Name));
        Assert.Equal(["a%3alatest.json"], damaged);
        Assert.Null(_library.Find("a"));
    }

    [Fact]
    public void A_folder_that_is_not_there_is_an_empty_library_and_looking_makes_none()
    {
        Assert.Empty(_library.List());
        Assert.Null(_library.Find("a"));
        Assert.False(Directory.Exists(_library.Folder));
    }

    [Fact]
    public async Task A_folder_that_cannot_be_made_is_named_with_the_remedy()
    {
        string file = Write("file", Encoding.UTF8.GetBytes("x"));
        using ModelLibrary library = ModelLibrary.Open(new LibraryOptions { Folder = Path.Combine(file, "models") });
        LibraryException failure = await Assert.ThrowsAsync<LibraryException>(() => library.ImportAsync(Write("a.gguf", TestGguf.Make(8))));
        Assert.Equal(LibraryProblem.Folder, failure.Problem);
        Assert.Contains("--models-dir", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_manifest_says_what_it_is_in_plain_JSON()
    {
        await _library.ImportAsync(Write("a.gguf", TestGguf.Make(8)));
        JsonElement manifest = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(_library.Folder, "manifests", "a%3alatest.json"))).RootElement;
        Assert.Equal(("a:latest", "model"), (manifest.GetProperty("name").GetString(), manifest.GetProperty("files")[0].GetProperty("role").GetString()));
    }
}
