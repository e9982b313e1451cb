// One file a checkpoint: a JSON state, then named float32 tensors. Written beside and renamed, so a reader or a crash
// never meets half a file.
using System.Runtime.InteropServices;
using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Stages;

public static class Checkpoint
{
    private const int Magic = 0x31505443; // "CTP1"
    private const int MaxNameLength = 256;

    public static void Save(string path, RunState state, IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        string beside = path + ".part";
        KeyValuePair<string, Tensor>[] all = [.. tensors];
        using (var writer = new BinaryWriter(File.Create(beside)))
        {
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(state, TrainingJson.Default.RunState);
            writer.Write(Magic);
            writer.Write(json.Length);
            writer.Write(json);
            writer.Write(all.Length);
            foreach ((string name, Tensor tensor) in all)
            {
                using Tensor plain = tensor.detach().to(ScalarType.Float32).cpu().contiguous();
                writer.Write(name);
                writer.Write(plain.shape.Length);
                foreach (long size in plain.shape)
                {
                    writer.Write(size);
                }

                writer.Write(MemoryMarshal.AsBytes<float>(plain.data<float>().ToArray()));
            }
        }

        File.Move(beside, path, overwrite: true);
    }

    /// <summary>Reads a checkpoint; the caller disposes the tensors.</summary>
    /// <exception cref="InvalidDataException">The file is not a checkpoint or is cut short.</exception>
    public static (RunState State, Dictionary<string, Tensor> Tensors) Load(string path)
    {
        using var reader = new BinaryReader(File.OpenRead(path));
        try
        {
            if (reader.ReadInt32() != Magic)
            {
                throw new InvalidDataException($"{path} is not a checkpoint of this trainer.");
            }

            RunState state = JsonSerializer.Deserialize(reader.ReadBytes(reader.ReadInt32()), TrainingJson.Default.RunState)
                ?? throw new InvalidDataException($"{path} holds no state.");
            Dictionary<string, Tensor> tensors = new(StringComparer.Ordinal);
            for (int count = reader.ReadInt32(); count > 0; count--)
            {
                string name = reader.ReadString();
                long[] shape = [.. Enumerable.Range(0, reader.ReadInt32()).Select(_ => reader.ReadInt64())];
                long size = shape.Aggregate(1L, (a, b) => checked(a * b));
                if (name.Length > MaxNameLength || size < 0 || size * sizeof(float) > reader.BaseStream.Length - reader.BaseStream.Position)
                {
                    throw new InvalidDataException($"{path}: tensor '{name}' does not fit into the file.");
                }

                var values = new float[size];
                reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(values.AsSpan()));
                tensors.Add(name, tensor(values, shape).DetachFromDisposeScope());
            }

            return (state, tensors);
        }
        catch (EndOfStreamException e)
        {
            throw new InvalidDataException($"{path} is cut short.", e);
        }
    }

    /// <summary>Saves weights together with the optimizer's state.</summary>
    public static void Save(string path, RunState state, IEnumerable<KeyValuePair<string, Tensor>> weights, Optimization.MuonOptimizer optimizer) =>
        Save(path, state, weights.Concat(optimizer.State.Select(p => KeyValuePair.Create("optimizer:" + p.Key, p.Value))));

    /// <summary>Puts a checkpoint's optimizer state back; returns where the run stood.</summary>
    public static RunState Restore(string path, Optimization.MuonOptimizer optimizer)
    {
        (RunState state, Dictionary<string, Tensor> tensors) = Load(path);
        CopyInto(tensors, optimizer.State, "optimizer:");
        optimizer.Updates = state.Updates;
        Dispose(tensors);
        return state;
    }

    /// <summary>Copies those of the tensors that the checkpoint has; leaves the others as they are.</summary>
    public static void CopyPresent(string path, IReadOnlyDictionary<string, Tensor> into)
    {
        (_, Dictionary<string, Tensor> tensors) = Load(path);
        CopyInto(tensors, into.Where(p => tensors.ContainsKey(p.Key)));
        Dispose(tensors);
    }

    internal static void Dispose(Dictionary<string, Tensor> tensors)
    {
        foreach (Tensor tensor in tensors.Values)
        {
            tensor.Dispose();
        }
    }

    /// <summary>Copies the loaded values of the same names into existing tensors.</summary>
    public static void CopyInto(IReadOnlyDictionary<string, Tensor> from, IEnumerable<KeyValuePair<string, Tensor>> into, string prefix = "")
    {
        using IDisposable noGrad = no_grad();
        foreach ((string name, Tensor tensor) in into)
        {
            if (!from.TryGetValue(prefix + name, out Tensor? saved) || !saved.shape.SequenceEqual(tensor.shape))
            {
                throw new InvalidDataException($"The checkpoint has no tensor '{prefix}{name}' of shape [{string.Join(", ", tensor.shape)}].");
            }

            tensor.copy_(saved);
        }
    }
}
