using InferenceServer.Library;

namespace InferenceServer.Tests.Library;

/// <summary>What people type, read: names, Modelfiles, and the choice of a quantization.</summary>
public sealed class NameAndModelfileTests
{
    [Theory]
    [InlineData("chat", "chat:latest")]
    [InlineData("Chat:8B", "Chat:8B")]
    [InlineData("owner/model.v2:q4_k_m", "owner/model.v2:q4_k_m")]
    public void A_name_is_read_and_written(string text, string written)
    {
        ModelName name = ModelName.Parse(text);
        Assert.Equal(written, name.ToString());
        Assert.Equal(name, ModelName.Parse(text.ToUpperInvariant()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("../../x")]
    [InlineData("/etc/passwd")]
    [InlineData("a/b/c")]
    [InlineData("a//b")]
    [InlineData("a:b:c")]
    [InlineData("a:")]
    [InlineData(".hidden")]
    [InlineData("a..b")]
    [InlineData("-rf")]
    [InlineData("a b")]
    [InlineData("a\0b")]
    [InlineData("a\u001b[31m")]
    [InlineData("a\\b")]
    [InlineData("ä")]
    public void What_could_be_a_path_or_an_order_is_no_name(string text)
    {
        LibraryException failure = Assert.Throws<LibraryException>(() => ModelName.Parse(text));
        Assert.Equal(LibraryProblem.Invalid, failure.Problem);
        Assert.DoesNotContain(failure.Message, char.IsControl);
    }

    [Fact]
    public void The_longest_name_fits_into_a_file_system_and_a_reserved_one_is_not_reserved_any_more()
    {
        string longest = $"{new string('o', 48)}/{new string('n', 96)}:{new string('t', 64)}";
        Assert.True(ModelName.Parse(longest).FileName.Length + ".json".Length <= 255);
        Assert.Throws<LibraryException>(() => ModelName.Parse(longest + "t"));
        // Windows means the device by CON and by CON.json.
        Assert.Equal("con%3alatest", ModelName.Parse("CON").FileName);
    }

    [Theory]
    [InlineData("hf:o/r", "hf:o/r")]
    [InlineData("HF:o/r:Q4_K_M", "hf:o/r:Q4_K_M")]
    [InlineData("hf.co/o/r:Q4_K_M", "hf:o/r:Q4_K_M")]
    [InlineData("https://huggingface.co/o/r", "hf:o/r")]
    [InlineData("hf:o/r:sub/file.gguf", "hf:o/r:sub/file.gguf")]
    [InlineData("ollama:llama3", "ollama:llama3:latest")]
    [InlineData("ollama:me/llama3:8b", "ollama:me/llama3:8b")]
    [InlineData("models/a.gguf", "models/a.gguf")]
    [InlineData("./a", "./a")]
    [InlineData("chat:v1", "chat:v1")]
    public void A_reference_says_what_is_meant(string text, string meant) => Assert.Equal(meant, ModelReference.Parse(text).ToString());

    [Theory]
    [InlineData("hf:repo")]
    [InlineData("hf:o/r:../x")]
    [InlineData("hf:o/..")]
    [InlineData("hf:o/r/x")]
    [InlineData("ollama:")]
    [InlineData("ollama:a/b/c")]
    [InlineData("a\nb")]
    public void A_reference_that_is_none_is_told_with_an_example(string text) => Assert.Throws<LibraryException>(() => ModelReference.Parse(text));

    [Fact]
    public void What_is_pulled_by_a_bare_name_comes_from_the_hub_that_writes_names_so()
    {
        Assert.Equal("hf:o/r", ModelReference.ParseRemote("o/r").ToString());
        Assert.Equal("ollama:qwen3:8b", ModelReference.ParseRemote("qwen3:8b").ToString());
        Assert.Contains("import", Assert.Throws<LibraryException>(() => ModelReference.ParseRemote("./a.gguf")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_happens_to_be_there_does_not_hide_a_model_of_a_hub()
    {
        // The tests run in the folder of their own assembly.
        string file = Path.GetFileName(Directory.GetFiles(Directory.GetCurrentDirectory()).First(path => path.EndsWith(".dll", StringComparison.Ordinal) && ModelName.TryParse(Path.GetFileName(path), out _)));
        Assert.IsType<FileReference>(ModelReference.Parse(file));
        Assert.IsType<OllamaReference>(ModelReference.ParseRemote(file));
        Assert.IsType<HubReference>(ModelReference.ParseRemote("hf:o/r"));
    }

    [Fact]
    public void A_Modelfile_is_read_with_comments_quotes_and_several_lines()
    {
        Modelfile read = Modelfile.Parse("\uFEFF# a comment\r\nFROM ./base.gguf\r\n\r\nsystem \"\"\"You are\n  # not a comment\n\"kind\".\"\"\"\nPARAMETER stop \"<|end|>\"\nPARAMETER stop two words\nPARAMETER num_ctx 4096\nADAPTER ./a.gguf\nLICENSE MIT\n");
        Assert.Equal(("./base.gguf", "You are\n  # not a comment\n\"kind\".", "MIT"), (read.From, read.System, read.License));
        Assert.Equal("""["<|end|>","two words"]""", read.Parameters["stop"].GetRawText());
        Assert.Equal(4096, read.Parameters["num_ctx"].GetInt64());
        Assert.Equal(["./a.gguf"], read.Adapters);
    }

    [Theory]
    [InlineData("FROM a\nFORM b", "line 2: 'FORM' is no instruction")]
    [InlineData("SYSTEM x", "no FROM")]
    [InlineData("FROM a\nFROM b", "line 2: there is a second FROM")]
    [InlineData("FROM", "line 1: a value is missing")]
    [InlineData("FROM a\n\nSYSTEM \"\"\"x\ny", "line 3: three quotes are opened")]
    [InlineData("FROM a\nSYSTEM \"x", "line 2: a quote is not closed")]
    [InlineData("FROM a\nSYSTEM \"\"\"x\"\"\" y", "line 2: 'y' follows")]
    [InlineData("FROM a\nPARAMETER temperature hot", "line 2: temperature must be a number; it is 'hot'")]
    [InlineData("FROM a\nPARAMETER top_k 1.5", "line 2: top_k must be an integer")]
    [InlineData("FROM a\nPARAMETER mirostat 1", "line 2: 'mirostat' is no parameter")]
    [InlineData("FROM a\nPARAMETER seed", "line 2: PARAMETER wants a name and a value")]
    [InlineData("FROM a\nMESSAGE user hi", "line 2: MESSAGE is not supported")]
    [InlineData("FROM a\nTEMPLATE {{ .Prompt }}", "line 2: TEMPLATE is written in Go's")]
    [InlineData("FROM a\nTEMPLATE \"\"\"{{- range .Messages }}{{ end }}\"\"\"", "line 2: TEMPLATE is written in Go's")]
    public void A_wrong_Modelfile_is_told_with_its_line(string text, string says) => Assert.Contains(says, Assert.Throws<LibraryException>(() => Modelfile.Parse(text)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{{ messages[0]['content'] }}{% if x %}{% endif %}")]
    [InlineData("{{- bos_token }}{{ end_token }}")]
    public void Jinja_is_not_taken_for_Go(string template) => Assert.Equal(template, Modelfile.Parse($"FROM a\nTEMPLATE {template}").Template);

    [Theory]
    [InlineData("a-Q4_K_M.gguf", "Q4_K_M")]
    [InlineData("model.q8_0.gguf", "Q8_0")]
    [InlineData("Llama-3.2-1B-Instruct-IQ3_XXS.gguf", "IQ3_XXS")]
    [InlineData("gpt-oss-20b-mxfp4.gguf", "MXFP4")]
    [InlineData("BF16/Big-BF16-00001-of-00003", "BF16")]
    [InlineData("UD-Q4_K_XL.gguf", "Q4_K_XL")]
    [InlineData("model.gguf", null)]
    [InlineData("Q4ever.gguf", null)]
    public void The_label_of_a_quantization_is_in_the_name(string name, string? label) => Assert.Equal(label, Quantization.LabelOf(name));

    [Theory]
    [InlineData(100, "Q8_0", "is the best of 5 that fits")]
    [InlineData(11, "Q6_K", "is the best of 5 that fits")]
    [InlineData(8, "Q4_K_M", "is the best of 5 that fits")]
    [InlineData(1, "Q2_K", "is the smallest of 5; none fits")]
    public void The_best_that_fits_into_memory_is_taken_and_it_is_said_why(int freeGibibytes, string label, string says)
    {
        IReadOnlyList<QuantVariant> variants = Variants(("m-Q8_0.gguf", 9), ("m-Q6_K.gguf", 7), ("m-Q4_K_M.gguf", 5), ("m-Q2_K.gguf", 3), ("m-F16.gguf", 17), ("mmproj-m-F16.gguf", 1), ("m.imatrix.gguf", 1));
        (QuantVariant variant, string reason) = Quantization.Choose(variants, (long)freeGibibytes << 30);
        Assert.Equal(label, variant.Label);
        Assert.Contains(says, reason, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_quantized_is_taken_only_where_nothing_else_is() =>
        Assert.Equal("BF16", Quantization.Choose(Variants(("m-F32.gguf", 8), ("m-BF16.gguf", 4)), 100L << 30).Variant.Label);

    [Theory]
    [InlineData("q4_k_m", "m-Q4_K_M")]
    [InlineData("Q4_K_XL", "m-Q4_K_XL")]
    [InlineData("UD-Q4_K_XL", "m-UD-Q4_K_XL")]
    [InlineData("m-Q4_K_M.gguf", "m-Q4_K_M")]
    [InlineData("Q8_0", "Q8_0/m-Q8_0")]
    public void A_quantization_is_found_by_its_label_or_its_files_name(string asked, string stem) =>
        Assert.Equal(stem, Quantization.Find(Variants(("m-Q4_K_M.gguf", 5), ("m-Q4_K_XL.gguf", 5), ("m-UD-Q4_K_XL.gguf", 5), ("Q8_0/m-Q8_0-00001-of-00002.gguf", 5), ("Q8_0/m-Q8_0-00002-of-00002.gguf", 5)), asked, "o/r").Stem);

    [Fact]
    public void A_quantization_that_is_not_there_is_told_with_those_that_are() =>
        Assert.Contains("it has Q8_0, Q4_K_M", Assert.Throws<LibraryException>(() => Quantization.Find(Variants(("m-Q4_K_M.gguf", 5), ("m-Q8_0.gguf", 9)), "Q3_K_S", "o/r")).Message, StringComparison.Ordinal);

    private static IReadOnlyList<QuantVariant> Variants(params (string Name, long Gibibytes)[] files) =>
        Quantization.Variants(files.Select(file => new RemoteFile(new Uri("http://127.0.0.1/x"), file.Name, new string('0', 64), file.Gibibytes << 30, LibraryFileRole.Model)));
}
