// Schemas by where they stand in the document, and the references between them.

using System.Text.Json;

namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>A schema, or what it refuses when negated. Two nodes of the same path and sign are the same.</summary>
internal readonly record struct SchemaNode(JsonElement Element, string Path, bool IsNegated)
{
    public bool Equals(SchemaNode other) => Path == other.Path && IsNegated == other.IsNegated;

    public override int GetHashCode() => HashCode.Combine(Path, IsNegated);

    public SchemaNode Not => this with { IsNegated = !IsNegated };

    /// <summary>Whether it accepts everything.</summary>
    public bool IsTrue => Element.ValueKind == (IsNegated ? JsonValueKind.False : JsonValueKind.True);

    /// <summary>Whether it accepts nothing.</summary>
    public bool IsFalse => Element.ValueKind == (IsNegated ? JsonValueKind.True : JsonValueKind.False);

    /// <summary>The schema under a keyword, with this node's sign.</summary>
    public SchemaNode Child(JsonElement element, string keyword) => new(element, $"{Path}/{Escape(keyword)}", IsNegated);

    public ConstraintException Error(string reason) => new(Path, reason);

    public ConstraintException Error(string keyword, string reason) => new($"{Path}/{Escape(keyword)}", reason);

    private static string Escape(string key) => key.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);
}

/// <summary>The document a schema comes from: finds what references name.</summary>
internal sealed class SchemaDocument
{
    /// <summary>Nobody writes schemas nested deeper by hand, and reading them takes stack.</summary>
    private const int MaxDepth = 128;

    private readonly Dictionary<string, SchemaNode> _anchors = [];
    private readonly string? _id;

    public SchemaDocument(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth });
            Root = new(document.RootElement.Clone(), "#", IsNegated: false);
        }
        catch (JsonException e)
        {
            throw new ConstraintException("#", $"the schema is not valid JSON: {e.Message}");
        }
        if (Root.Element.ValueKind == JsonValueKind.Object && Root.Element.TryGetProperty("$id", out JsonElement id) && id.ValueKind == JsonValueKind.String)
            _id = id.GetString();
        RequireWellFormed(Root);
        FindAnchors(Root);
    }

    public SchemaNode Root { get; }

    /// <summary>The schema that the reference in <paramref name="from"/> names, with that node's sign.</summary>
    public SchemaNode Resolve(SchemaNode from, JsonElement reference)
    {
        if (reference.ValueKind != JsonValueKind.String)
            throw from.Error("$ref", "must be a string");
        string target = reference.GetString()!;
        if (_id is { Length: > 0 } && target.StartsWith(_id, StringComparison.Ordinal))
            target = target[_id.Length..] is { Length: > 0 } rest ? rest : "#";
        if (!target.StartsWith('#'))
            throw from.Error("$ref", $"'{target}' is outside this schema; only references that begin with # are followed");
        string fragment = Uri.UnescapeDataString(target[1..]);
        if (fragment.Length == 0)
            return Root with { IsNegated = from.IsNegated };
        if (!fragment.StartsWith('/'))
            return _anchors.TryGetValue(fragment, out SchemaNode anchored)
                ? anchored with { IsNegated = from.IsNegated }
                : throw from.Error("$ref", $"no schema has the anchor '{fragment}'");
        SchemaNode node = Root with { IsNegated = from.IsNegated };
        foreach (string part in fragment[1..].Split('/'))
        {
            string key = part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            JsonElement at = node.Element;
            if (at.ValueKind == JsonValueKind.Object && at.TryGetProperty(key, out JsonElement child))
                node = node.Child(child, key);
            else if (at.ValueKind == JsonValueKind.Array && int.TryParse(key, out int index) && index >= 0 && index < at.GetArrayLength())
                node = node.Child(at[index], key);
            else
                throw from.Error("$ref", $"'{target}' names nothing in this schema");
        }
        return node;
    }

    /// <summary>System.Text.Json lets escaped lone surrogates through until they are read.</summary>
    private static void RequireWellFormed(SchemaNode node)
    {
        try
        {
            switch (node.Element.ValueKind)
            {
                case JsonValueKind.String:
                    node.Element.GetString();
                    break;
                case JsonValueKind.Array:
                    int index = 0;
                    foreach (JsonElement item in node.Element.EnumerateArray())
                        RequireWellFormed(node.Child(item, $"{index++}"));
                    break;
                case JsonValueKind.Object:
                    foreach (JsonProperty property in node.Element.EnumerateObject())
                        RequireWellFormed(node.Child(property.Value, property.Name));
                    break;
            }
        }
        catch (InvalidOperationException)
        {
            throw node.Error("holds a lone surrogate, which UTF-8 cannot spell");
        }
    }

    private void FindAnchors(SchemaNode node)
    {
        if (node.Element.ValueKind == JsonValueKind.Array)
        {
            int index = 0;
            foreach (JsonElement item in node.Element.EnumerateArray())
                FindAnchors(node.Child(item, $"{index++}"));
        }
        if (node.Element.ValueKind != JsonValueKind.Object)
            return;
        if (node.Element.TryGetProperty("$anchor", out JsonElement anchor) && anchor.ValueKind == JsonValueKind.String)
            _anchors.TryAdd(anchor.GetString()!, node);
        foreach (JsonProperty property in node.Element.EnumerateObject())
            if (property.Name is not ("const" or "enum" or "default" or "examples"))
                FindAnchors(node.Child(property.Value, property.Name));
    }
}
