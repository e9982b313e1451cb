using System.Globalization;

namespace InferenceServer.Commands;

/// <summary>Bytes for people, in powers of 1024.</summary>
internal static class ByteText
{
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB"];

    public static string Of(long bytes)
    {
        int unit = 0;
        double scaled = bytes;
        for (; scaled >= 1024 && unit < Units.Length - 1; unit++)
            scaled /= 1024;
        return scaled.ToString(unit == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + Units[unit];
    }
}
