using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Docs;

/// <summary>
/// Finds out which fields a route knows, by sending each name there is in each object of its bodies, as null: what nobody asks for comes back in
/// <c>x-ignored-params</c>, and of an object that takes anything nothing does.
/// </summary>
internal sealed partial class KnownFields(TestHost host, string[] names)
{
    // Fewer than an object may have and than are listed.
    private const int AtOnce = 24;

    /// <summary>Paths of the fields, with [] for any index.</summary>
    public async Task<SortedSet<string>> FindAsync(string route, IEnumerable<string> bodies)
    {
        SortedSet<string> known = new(StringComparer.Ordinal);
        HashSet<string> seen = [];
        foreach (string body in bodies)
            foreach (string place in Objects(JsonNode.Parse(body)!, ""))
                if (seen.Add($"{IndexPattern().Replace(place, "[]")} {string.Join(',', At(JsonNode.Parse(body)!, place).Where(member => member.Key is "type" or "role").Select(member => member.Value?.ToJsonString()))}"))
                    known.UnionWith(await FindAsync(route, body, place));
        return known;
    }

    /// <summary>The rows that a probe stands for: its first name has a path, those after a comma stand beside it.</summary>
    public static IEnumerable<string> Rows(FieldProbe probe)
    {
        string[] parts = probe.Field.Split(", ");
        string beside = parts[0][..(parts[0].LastIndexOf('.') + 1)];
        return [parts[0], .. parts.Skip(1).Select(name => beside + name), .. Enumerable.Range(0, beside.Length).Where(i => beside[i] == '.').Select(i => beside[..i].EndsWith("[]", StringComparison.Ordinal) ? beside[..(i - 2)] : beside[..i])];
    }

    private async Task<IEnumerable<string>> FindAsync(string route, string body, string place)
    {
        string prefix = place.Length == 0 ? "" : place + ".";
        List<string> found = [], left = [.. names.Where(name => !At(JsonNode.Parse(body)!, place).ContainsKey(name))];
        bool anyIgnored = false;
        while (left.Count > 0)
        {
            string[] batch = [.. left.Take(AtOnce)];
            JsonNode root = JsonNode.Parse(body)!;
            foreach (string name in batch)
                At(root, place)[name] = null;
            using HttpResponseMessage answer = await host.PostAsync(route, root.ToJsonString());
            if (!answer.IsSuccessStatusCode)
            {
                // Refused as it is: what is in it is tried in a body that is taken.
                return [];
            }

            HashSet<string> ignored = answer.Headers.TryGetValues("x-ignored-params", out IEnumerable<string>? listed) ? [.. listed.Single().Split(", ")] : [];
            found.AddRange(batch.Where(name => !ignored.Contains(prefix + name)));
            anyIgnored |= batch.Any(name => ignored.Contains(prefix + name));
            left.RemoveRange(0, batch.Length);
        }

        return anyIgnored ? found.Select(name => IndexPattern().Replace(prefix + name, "[]")) : [];
    }

    private static IEnumerable<string> Objects(JsonNode? node, string path)
    {
        if (node is JsonArray array)
            return array.SelectMany((item, index) => Objects(item, $"{path}[{index}]"));
        return node is not JsonObject members ? [] : [path, .. members.SelectMany(member => Objects(member.Value, path.Length == 0 ? member.Key : $"{path}.{member.Key}"))];
    }

    private static JsonObject At(JsonNode root, string place)
    {
        JsonNode node = root;
        foreach (Match step in StepPattern().Matches(place))
            node = step.Groups[1].Success ? node[int.Parse(step.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture)]! : node[step.Value]!;
        return node.AsObject();
    }

    [GeneratedRegex(@"\[\d+\]")]
    private static partial Regex IndexPattern();

    [GeneratedRegex(@"\[(\d+)\]|[^.\[\]]+")]
    private static partial Regex StepPattern();
}
