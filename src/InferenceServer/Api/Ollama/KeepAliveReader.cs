using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Api.Ollama;

/// <summary><c>keep_alive</c>: seconds as a number, or a duration as Go writes it, such as <c>1h30m</c>; below zero is for ever.</summary>
internal static partial class KeepAliveReader
{
    private const string Wanted = "a number of seconds, or a text such as \"5m\"";

    /// <exception cref="RequestProblem">It is neither.</exception>
    public static TimeSpan? Read(JsonFields body)
    {
        if (body.Take("keep_alive") is not { } kept)
            return null;
        if (kept.ValueKind == JsonValueKind.Number)
            return Of(JsonValue.Number(kept, "keep_alive", double.MinValue, double.MaxValue));
        if (kept.ValueKind != JsonValueKind.String)
            throw JsonValue.WrongType(kept, "keep_alive", Wanted);
        string text = JsonValue.String(kept, "keep_alive").Trim();
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double plain))
            return Of(plain);
        Match match = Duration().Match(text);
        if (!match.Success)
            throw RequestProblem.Invalid($"{{where}} must be {Wanted}.", "keep_alive", "invalid_value");
        double seconds = 0;
        for (int i = 0; i < match.Groups["n"].Captures.Count; i++)
            seconds += double.Parse(match.Groups["n"].Captures[i].Value, CultureInfo.InvariantCulture) * match.Groups["u"].Captures[i].Value switch
            {
                "h" => 3600,
                "m" => 60,
                "s" => 1,
                "ms" => 1e-3,
                "us" or "µs" => 1e-6,
                _ => 1e-9,
            };
        return Of(match.Groups["sign"].Value == "-" ? -seconds : seconds);
    }

    private static TimeSpan Of(double seconds) => seconds < 0 || seconds > TimeSpan.MaxValue.TotalSeconds / 2 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(seconds);

    [GeneratedRegex(@"\A(?<sign>[+-]?)((?<n>\d{1,9}(\.\d{1,9})?)(?<u>ns|us|µs|ms|s|m|h))+\z")]
    private static partial Regex Duration();
}
