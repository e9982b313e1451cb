using System.Runtime.InteropServices;
using System.Text;

namespace InferenceServer.Llama.Native;

/// <summary>The environment that native libraries read: on Unix the runtime keeps a copy of its own, which getenv does not see.</summary>
internal static unsafe class NativeEnvironment
{
    /// <summary>Sets a variable that the user has not set.</summary>
    public static void SetDefault(string name, string value)
    {
        if (Environment.GetEnvironmentVariable(name) is not null)
            return;
        Environment.SetEnvironmentVariable(name, value);
        if (OperatingSystem.IsWindows())
            return;
        var setenv = (delegate* unmanaged[Cdecl]<byte*, byte*, int, int>)NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), "setenv");
        fixed (byte* key = Encoding.UTF8.GetBytes(name + '\0'), text = Encoding.UTF8.GetBytes(value + '\0'))
            setenv(key, text, 1);
    }
}
