using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

using Xunit;

namespace InferenceServer.Tests.Llama;

public sealed class GgufTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-gguf-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_the_writer_wrote_the_reader_reads()
    {
        string path = Path.Combine(_folder, "a.gguf");
        float[] values = [.. Enumerable.Range(0, 64 * 3).Select(i => MathF.Sin(i))];
        using (var writer = GgufWriter.Create(path, "llama"))
        {
            writer.Add("text", "Grüße");
            writer.Add("number", 42u);
            writer.Add("fraction", 0.5f);
            writer.Add("flag", true);
            writer.Add("numbers", [3, 1, 2]);
            writer.Add("words", ["a", "", "c"]);
            writer.Declare("full", GgufTensorType.F32, 64, 3);
            writer.Declare("half", GgufTensorType.F16, 64, 3);
            writer.Declare("quarter", GgufTensorType.Q8_0, 64, 3);
            for (int tensor = 0; tensor < 3; tensor++)
            {
                writer.Append(values.AsSpan(0, 64));
                writer.Append(values.AsSpan(64));
            }

            writer.Finish();
        }

        GgufFile file = GgufReader.Read(path);
        Assert.Equal("llama", file.Architecture);
        Assert.Equal("Grüße", file.GetString("text"));
        Assert.Equal(42, file.GetInteger("number"));
        Assert.Equal(0.5, file.GetFloat("fraction"));
        Assert.True(file.GetBoolean("flag"));
        Assert.Equal([3L, 1, 2], file.GetArray("numbers")!.Values);
        using FileStream stream = File.OpenRead(path);
        Assert.Equal(["a", "", "c"], GgufReader.ReadStrings(stream, file.GetArray("words")!));
        Assert.Equal([768L, 384, 204], file.Tensors.Select(t => t.SizeBytes));
        byte[] bytes = File.ReadAllBytes(path);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.Equal(values[i], BitConverter.ToSingle(bytes, At(file, 0) + i * 4));
            Assert.Equal((Half)values[i], BitConverter.ToHalf(bytes, At(file, 1) + i * 2));
            int block = At(file, 2) + i / 32 * 34;
            float decoded = (float)BitConverter.ToHalf(bytes, block) * (sbyte)bytes[block + 2 + i % 32];
            Assert.Equal(values[i], decoded, 0.005f);
        }

        static int At(GgufFile file, int tensor) => (int)(file.DataOffset + file.Tensors[tensor].Offset);
    }

    [Fact]
    public void The_same_seed_writes_the_same_bytes()
    {
        string first = Path.Combine(_folder, "1.gguf"), second = Path.Combine(_folder, "2.gguf"), other = Path.Combine(_folder, "3.gguf");
        TinyModel.Write(first);
        TinyModel.Write(second);
        TinyModel.Write(other, seed: 2);
        Assert.Equal(File.ReadAllBytes(first), File.ReadAllBytes(second));
        Assert.NotEqual(File.ReadAllBytes(first), File.ReadAllBytes(other));
    }

    [Fact]
    public void An_unfinished_file_never_appears_under_its_name_and_leaves_nothing_behind()
    {
        string path = Path.Combine(_folder, "half.gguf");
        using (var writer = GgufWriter.Create(path, "llama"))
        {
            writer.Declare("t", GgufTensorType.F32, 64);
            writer.Append(new float[32]);
            Assert.Throws<InvalidOperationException>(writer.Finish);
            Assert.Throws<ArgumentException>(() => writer.Append(new float[33]));
        }

        Assert.Empty(Directory.GetFiles(_folder));
    }

    [Fact]
    public void The_writer_refuses_what_no_reader_could_use()
    {
        using var writer = GgufWriter.Create(Path.Combine(_folder, "x.gguf"), "llama");
        writer.Add("key", 1u);
        Assert.Throws<ArgumentException>(() => writer.Add("key", 2u));
        Assert.Throws<ArgumentException>(() => writer.Declare("t", GgufTensorType.Q8_0, 33));
        Assert.Throws<ArgumentException>(() => writer.Declare("t", GgufTensorType.F32, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Declare("t", GgufTensorType.Q4_K, 256));
        Assert.Throws<ArgumentException>(() => writer.Declare(new string('n', 64), GgufTensorType.F32, 1));
    }

    [Fact]
    public void Every_truncation_of_a_header_is_refused()
    {
        byte[] model = TinyModelBytes();
        int header = (int)GgufReader.Read(new MemoryStream(model)).DataOffset;
        for (int length = 0; length < header; length += length < 1500 ? 1 : 37)
            Assert.Throws<GgufException>(() => GgufReader.Read(new MemoryStream(model, 0, length)));
        Assert.Throws<GgufException>(() => GgufReader.Read(new MemoryStream(model, 0, model.Length - 1)));
    }

    [Fact]
    public void Flipped_bits_never_crash_hang_or_allocate_out_of_proportion_to_the_file()
    {
        byte[] model = TinyModelBytes();
        int header = (int)GgufReader.Read(new MemoryStream(model)).DataOffset;
        const int Seed = 20261122;
        var random = new Random(Seed);
        int refused = 0;
        for (int i = 0; i < 20_000; i++)
        {
            int at = random.Next(header);
            byte before = model[at];
            model[at] ^= (byte)(1 << random.Next(8));
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                GgufReader.Read(new MemoryStream(model));
            }
            catch (GgufException)
            {
                refused++;
            }

            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            Assert.True(allocated < 20 * model.Length, $"flip {i} at {at} of seed {Seed} made the reader allocate {allocated} bytes");
            model[at] = before;
        }

        Assert.InRange(refused, 1000, 20_000);
    }

    [Theory]
    [InlineData(8, "tensors")]
    [InlineData(16, "metadata")]
    public void A_count_that_the_file_cannot_hold_is_refused_before_memory_is_taken(int offset, string named)
    {
        byte[] model = TinyModelBytes();
        BitConverter.TryWriteBytes(model.AsSpan(offset), ulong.MaxValue / 2);
        GgufException refused = Assert.Throws<GgufException>(() => GgufReader.Read(new MemoryStream(model)));
        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_big_endian_file_is_named_as_such()
    {
        byte[] model = TinyModelBytes();
        model.AsSpan(4, 4).Reverse();
        Assert.Contains("big-endian", Assert.Throws<GgufException>(() => GgufReader.Read(new MemoryStream(model))).Message, StringComparison.Ordinal);
    }

    private byte[] TinyModelBytes()
    {
        string path = Path.Combine(_folder, "tiny.gguf");
        TinyModel.Write(path);
        return File.ReadAllBytes(path);
    }
}
