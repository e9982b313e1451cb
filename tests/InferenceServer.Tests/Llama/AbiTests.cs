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

using LLama.Native;

using Xunit;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Llama;

/// <summary>
/// What crosses the border by value, on both sides of the bridge: the mirrored structs and the bridge's forms of the release against the C compiler's
/// layout of the release's header, LLamaSharp's structs against the bridge's other form. The header comes from the npm package that the native
/// packages were built from (a git bundle inside it) and stays in this project's obj folder; none of it is in this repository.
/// </summary>
[Collection("llama")]
public sealed class AbiTests(LlamaFixture llama, ITestOutputHelper output)
{
    private const string PackageVersion = "3.22.1";

    private static readonly (Type Mirror, string Native)[] Structs =
    [
        (typeof(GgmlThreadpoolParams), "struct ggml_threadpool_params"),
        (typeof(GgmlBackendDevProps), "struct ggml_backend_dev_props"),
        (typeof(LlamaPerfContextData), "struct llama_perf_context_data"),
        (typeof(GgmlInitParams), "struct ggml_init_params"),
        (typeof(GgmlTensor), "struct ggml_tensor"),
        (typeof(LlamaSamplerChainParams), "struct llama_sampler_chain_params"),
        (typeof(LlamaSampler), "struct llama_sampler"),
        (typeof(LlamaSamplerData), "struct llama_sampler_data"),
        (typeof(LlamaSamplerInterface), "struct llama_sampler_i"),
        (typeof(LLamaModelTensorBufferOverride), "struct llama_model_tensor_buft_override"),
    ];

    /// <summary>Each struct that the bridge has in two forms: LLamaSharp's type, the bridge's and the release's, and the members in LLamaSharp's order by the bridge's names and the header's.</summary>
    private static readonly (Type Sharp, string Bridge, string Release, string Header, string Members)[] Bridged =
    [
        (typeof(LLamaModelParams), "sharp_model", "release_model", "llama_model_params",
            "head.devices head.tensor_buft_overrides head.n_gpu_layers head.split_mode load_mode main_gpu tail.tensor_split tail.progress_callback "
            + "tail.progress_callback_user_data tail.kv_overrides tail.flags[0]:vocab_only tail.flags[1]:check_tensors tail.flags[2]:use_extra_bufts "
            + "tail.flags[3]:no_host tail.flags[4]:no_alloc tail.flags[5]:load_mtp"),
        (typeof(LLamaContextParams), "sharp_context", "release_context", "llama_context_params",
            "head.n_ctx head.n_batch head.n_ubatch head.n_seq_max head.n_rs_seq head.n_outputs_max middle.n_threads middle.n_threads_batch middle.ctx_type "
            + "middle.rope_scaling_type middle.pooling_type middle.attention_type middle.flash_attn_type middle.rope_freq_base middle.rope_freq_scale "
            + "middle.yarn_ext_factor middle.yarn_attn_factor middle.yarn_beta_fast middle.yarn_beta_slow middle.yarn_orig_ctx middle.defrag_thold tail.cb_eval "
            + "tail.cb_eval_user_data tail.type_k tail.type_v tail.abort_callback tail.abort_callback_data tail.flags[0]:embeddings tail.flags[1]:offload_kqv "
            + "tail.flags[2]:no_perf tail.flags[3]:op_offload tail.flags[4]:swa_full tail.flags[5]:kv_unified tail.samplers tail.n_samplers tail.ctx_other"),
        (typeof(LLamaModelQuantizeParams), "quantize", "release_quantize", "llama_model_quantize_params",
            "nthread ftype output_tensor_type token_embedding_type flags[0]:allow_requantize flags[1]:quantize_output_tensor flags[2]:only_copy flags[3]:pure "
            + "flags[4]:keep_split flags[5]:dry_run imatrix kv_overrides tt_overrides prune_layers"),
    ];

    /// <summary>Passed as it is: LLamaSharp's struct is the release's.</summary>
    private static readonly string[] BatchMembers = ["n_tokens", "token", "embd", "pos", "n_seq_id", "seq_id", "logits"];

    [SkippableFact]
    public void Both_forms_of_the_bridges_structs_are_those_of_LLamaSharp_and_of_the_release_header()
    {
        Dictionary<string, long> native = Probe(BridgeProbe());
        foreach ((Type sharp, string bridge, string release, string header, string members) in Bridged)
        {
            Assert.Equal(native[$"sizeof({bridge})"], Marshal.SizeOf(sharp));
            Assert.Equal(native[$"sizeof({header})"], native[$"sizeof({release})"]);
            string[] names = members.Split(' ');
            FieldInfo[] fields = sharp.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic);
            Assert.Equal(names.Length, fields.Length);
            foreach ((string name, FieldInfo field) in names.Zip(fields))
            {
                Assert.True(native[$"{bridge}.{name}"] == Marshal.OffsetOf(sharp, field.Name), $"{sharp.Name}.{field.Name} lies elsewhere than the bridge's {name}");
                Assert.True(native[$"{header}.{name}"] == native[$"{release}.{name}"], $"{header}'s {name} lies elsewhere than the bridge has it");
            }
        }

        FieldInfo[] batch = typeof(LLamaNativeBatch).GetFields();
        Assert.Equal(native["sizeof(llama_batch)"], Marshal.SizeOf<LLamaNativeBatch>());
        foreach ((string name, FieldInfo field) in BatchMembers.Zip(batch))
            Assert.True(native[$"llama_batch.{name}"] == Marshal.OffsetOf<LLamaNativeBatch>(field.Name), $"LLamaNativeBatch.{field.Name} lies elsewhere than llama_batch.{name}");
    }

    [SkippableFact]
    public void Mirrored_structs_and_constants_are_laid_out_as_the_C_compiler_lays_out_the_release_header()
    {
        Dictionary<string, long> native = Probe(MirrorProbe());
        foreach ((string name, long value) in Mirrored())
            Assert.True(native[name] == value, $"{name} is {value} here, {native[name]} in the release header");
        Assert.Equal(native.Count, Mirrored().Count());
    }

    [Fact]
    public void Block_sizes_of_tensor_types_are_those_of_the_loaded_library()
    {
        nint library = NativeLibrary.Load(llama.Library.Build.GgmlBasePath);
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
        yield return ("LLAMA_SPLIT_MODE_ROW", (long)SplitMode.Row);
        yield return ("LLAMA_LOAD_MODE_NONE", (long)LLamaLoadMode.None);
        yield return ("LLAMA_FLASH_ATTN_TYPE_AUTO", (long)FlashAttention.Auto);
        yield return ("LLAMA_FLASH_ATTN_TYPE_ENABLED", (long)FlashAttention.On);
        yield return ("LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY", (long)StateFlags.Partial);
        yield return ("LLAMA_FTYPE_MOSTLY_Q8_0", (long)LLamaFtype.MOSTLY_Q8_0);
        yield return ("LLAMA_TOKEN_ATTR_UNKNOWN", (long)LLamaTokenAttr.Unknown);
        yield return ("LLAMA_TOKEN_ATTR_CONTROL", (long)LLamaTokenAttr.Control);
        yield return ("GGML_BACKEND_DEVICE_TYPE_IGPU", (long)LlamaDeviceType.IntegratedGpu);
        yield return ("GGML_BACKEND_DEVICE_TYPE_ACCEL", (long)LlamaDeviceType.Accelerator);
        yield return ("GGML_LOG_LEVEL_ERROR", (long)LLamaLogLevel.Error);
        yield return ("GGML_LOG_LEVEL_CONT", (long)LLamaLogLevel.Continue);
        yield return ("GGML_MAX_N_THREADS", 512);
    }

    /// <summary>What a C program prints that is compiled with the release's headers: a name and a number a line.</summary>
    private Dictionary<string, long> Probe(string body)
    {
        string include = ReleaseHeaders();
        string name = $"probe-{Guid.NewGuid():N}";
        try
        {
            File.WriteAllText(Path.Combine(include, $"{name}.c"),
                $"#include \"llama.h\"\n#define CHECK\n#include \"{Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer.Llama", "native", "bridge.c")}\"\n#include <stdio.h>\nint main(void) {{\n{body}return 0;\n}}\n");
            Assert.Equal((0, ""), Run("gcc", include, "-Wno-deprecated-declarations", "-I", "include", "-I", "ggml/include", "-o", name, $"{name}.c"));
            (int exitCode, string printed) = Run(Path.Combine(include, name), include);
            Assert.Equal(0, exitCode);
            output.WriteLine(printed);
            return printed.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => line.Split('=')).ToDictionary(pair => pair[0], pair => long.Parse(pair[1], System.Globalization.CultureInfo.InvariantCulture));
        }
        finally
        {
            File.Delete(Path.Combine(include, $"{name}.c"));
            File.Delete(Path.Combine(include, name));
        }
    }

    private static string BridgeProbe()
    {
        var body = new StringBuilder();
        foreach ((_, string bridge, string release, string header, string members) in Bridged)
        {
            foreach (string type in new[] { bridge, release, header })
                body.Append($"printf(\"sizeof({type})=%zu\\n\", sizeof(struct {type}));\n");
            foreach (string member in members.Split(' '))
            {
                string[] names = member.Split(':');
                string inRelease = release == "release_quantize" ? $"head.{names[0]}" : names[0];
                string inHeader = names.Length > 1 ? names[1] : names[0][(names[0].IndexOf('.', StringComparison.Ordinal) + 1)..];
                foreach ((string type, string path) in new[] { (bridge, names[0]), (release, inRelease), (header, inHeader) })
                    body.Append($"printf(\"{type}.{member}=%zu\\n\", offsetof(struct {type}, {path}));\n");
            }
        }

        body.Append("printf(\"sizeof(llama_batch)=%zu\\n\", sizeof(struct llama_batch));\n");
        foreach (string member in BatchMembers)
            body.Append($"printf(\"llama_batch.{member}=%zu\\n\", offsetof(struct llama_batch, {member}));\n");
        return body.ToString();
    }

    private static string MirrorProbe()
    {
        var body = new StringBuilder();
        foreach ((Type mirror, string native) in Structs)
        {
            body.Append($"printf(\"sizeof({native})=%zu\\n\", sizeof({native}));\n");
            foreach (FieldInfo field in Fields(mirror))
                body.Append($"printf(\"{native}.{NativeName(field)}=%zu\\n\", offsetof({native}, {NativeName(field)}));\n");
        }

        foreach ((string name, _) in Constants())
            body.Append($"printf(\"{name}=%lld\\n\", (long long){name});\n");
        return body.ToString();
    }

    private static FieldInfo[] Fields(Type mirror) => mirror.GetFields(BindingFlags.Instance | BindingFlags.Public);

    private static string NativeName(FieldInfo field) => field.Name switch
    {
        nameof(LLamaModelTensorBufferOverride.Pattern) => "pattern",
        nameof(LLamaModelTensorBufferOverride.BufferType) => "buft",
        var name => name.Replace("caps_", "caps.", StringComparison.Ordinal),
    };

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
