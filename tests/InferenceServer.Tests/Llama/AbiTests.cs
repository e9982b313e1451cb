using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Native;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

/// <summary>
/// The mirrored structs against the C compiler's layout of the header that belongs to the pinned build. The header comes from the npm package
/// that the native packages were built from (a git bundle inside it) and stays in this project's obj folder; none of it is in this repository.
/// </summary>
[Collection("llama")]
public sealed class AbiTests(LlamaFixture llama, ITestOutputHelper output)
{
    private const string PackageVersion = "3.22.1";

    private static readonly (Type Mirror, string Native)[] Structs =
    [
        (typeof(LlamaModelParams), "struct llama_model_params"),
        (typeof(LlamaContextParams), "struct llama_context_params"),
        (typeof(LlamaModelQuantizeParams), "struct llama_model_quantize_params"),
        (typeof(NativeBatch), "struct llama_batch"),
        (typeof(GgmlThreadpoolParams), "struct ggml_threadpool_params"),
        (typeof(GgmlBackendDevProps), "struct ggml_backend_dev_props"),
    ];

    [SkippableFact]
    public void Mirrored_structs_and_constants_are_laid_out_as_the_C_compiler_lays_out_the_release_header()
    {
        string include = ReleaseHeaders();
        string source = Path.Combine(include, "probe.c"), program = Path.Combine(include, "probe");
        File.WriteAllText(source, ProbeSource());
        Assert.Equal((0, ""), Run("gcc", include, "-Wno-deprecated-declarations", "-I", "include", "-I", "ggml/include", "-o", program, source));
        (int exitCode, string printed) = Run(program, include);
        Assert.Equal(0, exitCode);
        Dictionary<string, long> native = printed.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split('=')).ToDictionary(pair => pair[0], pair => long.Parse(pair[1], System.Globalization.CultureInfo.InvariantCulture));
        output.WriteLine(printed);

        foreach ((string name, long value) in Mirrored())
            Assert.True(native[name] == value, $"{name} is {value} here, {native[name]} in the release header");
        Assert.Equal(native.Count, Mirrored().Count());
    }

    [Fact]
    public void Block_sizes_of_tensor_types_are_those_of_the_loaded_library()
    {
        Assert.Equal(LlamaBackend.Cpu, llama.Library.Backend);
        nint library = NativeLibrary.Load(Path.Combine(AppContext.BaseDirectory, "native", NativePackage.NameFor(LlamaBackend.Cpu)!,
            OperatingSystem.IsWindows() ? "ggml-base.dll" : OperatingSystem.IsMacOS() ? "libggml-base.dylib" : "libggml-base.so"));
        unsafe
        {
            var blockSize = (delegate* unmanaged[Cdecl]<int, long>)NativeLibrary.GetExport(library, "ggml_blck_size");
            var typeSize = (delegate* unmanaged[Cdecl]<int, nuint>)NativeLibrary.GetExport(library, "ggml_type_size");
            foreach (GgufTensorType type in Enum.GetValues<GgufTensorType>())
                Assert.Equal(((int)blockSize((int)type), (int)typeSize((int)type)), GgufTensorTypes.BlockOf(type));
        }
    }

    /// <summary>Sizes, offsets and constants as this project has them, by the name the probe prints.</summary>
    private static IEnumerable<(string Name, long Value)> Mirrored()
    {
        foreach ((Type mirror, string native) in Structs)
        {
            yield return ($"sizeof({native})", SizeOf(mirror));
            foreach (FieldInfo field in Fields(mirror))
                yield return ($"{native}.{NativeName(field)}", OffsetOf(mirror, field));
        }

        foreach ((string name, long value) in Constants())
            yield return (name, value);
    }

    private static IEnumerable<(string Name, long Value)> Constants()
    {
        foreach (GgufTensorType type in Enum.GetValues<GgufTensorType>())
            yield return ($"GGML_TYPE_{type}", (long)type);
        yield return ("LLAMA_POOLING_TYPE_RANK", (long)PoolingType.Rank);
        yield return ("LLAMA_POOLING_TYPE_LAST", (long)PoolingType.Last);
        yield return ("LLAMA_FLASH_ATTN_TYPE_AUTO", (long)FlashAttention.Auto);
        yield return ("LLAMA_FLASH_ATTN_TYPE_ENABLED", (long)FlashAttention.On);
        yield return ("LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY", (long)StateFlags.Partial);
        yield return ("LLAMA_STATE_SEQ_FLAGS_ON_DEVICE", (long)StateFlags.OnDevice);
        yield return ("LLAMA_FTYPE_MOSTLY_Q8_0", 7);
        yield return ("LLAMA_TOKEN_ATTR_UNKNOWN", 1);
        yield return ("LLAMA_TOKEN_ATTR_CONTROL", 8);
        yield return ("GGML_BACKEND_DEVICE_TYPE_IGPU", (long)LlamaDeviceType.IntegratedGpu);
        yield return ("GGML_BACKEND_DEVICE_TYPE_ACCEL", (long)LlamaDeviceType.Accelerator);
        yield return ("GGML_LOG_LEVEL_ERROR", 4);
        yield return ("GGML_LOG_LEVEL_CONT", 5);
        yield return ("GGML_MAX_N_THREADS", 512);
    }

    private static string ProbeSource()
    {
        var source = new StringBuilder("#include <stddef.h>\n#include <stdio.h>\n#include \"llama.h\"\nint main(void) {\n");
        foreach ((Type mirror, string native) in Structs)
        {
            source.Append($"printf(\"sizeof({native})=%zu\\n\", sizeof({native}));\n");
            foreach (FieldInfo field in Fields(mirror))
                source.Append($"printf(\"{native}.{NativeName(field)}=%zu\\n\", offsetof({native}, {NativeName(field)}));\n");
        }

        foreach ((string name, _) in Constants())
            source.Append($"printf(\"{name}=%lld\\n\", (long long){name});\n");
        return source.Append("return 0;\n}\n").ToString();
    }

    private static FieldInfo[] Fields(Type mirror) => mirror.GetFields(BindingFlags.Instance | BindingFlags.Public);

    private static string NativeName(FieldInfo field) => field.Name.Replace("caps_", "caps.", StringComparison.Ordinal);

    private static long SizeOf(Type mirror) =>
        (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(mirror).Invoke(null, null)!;

    /// <summary>Where the runtime really puts a field: a distance between addresses, since marshalling rules do not apply to these structs.</summary>
    private static long OffsetOf(Type mirror, FieldInfo field)
    {
        var method = new DynamicMethod("offset", typeof(long), [], typeof(AbiTests).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        LocalBuilder local = il.DeclareLocal(mirror);
        il.Emit(OpCodes.Ldloca, local);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldloca, local);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I8);
        il.Emit(OpCodes.Ret);
        return (long)method.Invoke(null, null)!;
    }

    /// <summary>The folder with include/ and ggml/include/ of the release, fetched once; skips the test where that is not possible.</summary>
    private static string ReleaseHeaders()
    {
        foreach (string tool in new[] { "npm", "gcc", "git" })
            Skip.If(!Exists(tool), $"{tool} is not installed");
        string cache = Path.Combine(SharedFolder.RepositoryRoot, "tests", "InferenceServer.Tests", "obj", $"llama-headers-{PackageVersion}");
        if (File.Exists(Path.Combine(cache, "include", "llama.h")))
            return cache;

        string work = $"{cache}.{Environment.ProcessId}";
        Directory.CreateDirectory(work);
        try
        {
            (int code, string said) = Run("npm", work, "pack", $"node-llama-cpp@{PackageVersion}", "--pack-destination", work, "--silent");
            Skip.If(code != 0, $"npm could not fetch node-llama-cpp {PackageVersion}: {said.ReplaceLineEndings(" ")}");
            string bundle = Path.Combine(work, "release.bundle");
            ExtractBundle(Directory.GetFiles(work, "*.tgz").Single(), bundle);
            string checkout = Path.Combine(work, "checkout");
            Assert.Equal(0, Run("git", work, "-c", "advice.detachedHead=false", "clone", "--quiet", "--no-checkout", bundle, checkout).ExitCode);
            Assert.Equal(0, Run("git", checkout, "checkout", "--quiet", "HEAD", "--", "include", "ggml/include").ExitCode);
            Directory.CreateDirectory(cache);
            Move("include");
            Move("ggml");
            return cache;

            void Move(string folder)
            {
                if (!Directory.Exists(Path.Combine(cache, folder)))
                    Directory.Move(Path.Combine(checkout, folder), Path.Combine(cache, folder));
            }
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    private static void ExtractBundle(string package, string target)
    {
        using var zip = new GZipStream(File.OpenRead(package), CompressionMode.Decompress);
        using var tar = new TarReader(zip);
        while (tar.GetNextEntry() is { } entry)
        {
            if (entry.Name != "package/llama/gitRelease.bundle")
                continue;
            entry.ExtractToFile(target, overwrite: true);
            return;
        }

        Assert.Fail($"{package} holds no release bundle");
    }

    private static bool Exists(string tool)
    {
        try
        {
            return Run(tool, ".", "--version").ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private static (int ExitCode, string Output) Run(string tool, string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo(tool, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        Task<string> printed = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(3)))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{tool} did not end");
        }

        return (process.ExitCode, process.ExitCode == 0 ? printed.Result : printed.Result + error.Result);
    }
}
