// The values of `format` that are enforced, as regular expressions after the RFCs that JSON Schema names.

using System.Collections.Frozen;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal static class StringFormats
{
    // RFC 3339: month lengths and leap years included.
    private const string Date = "(" +
        "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))" +
        "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)";

    // RFC 3339 has it, but most calendars and readers do not.
    private static readonly Dfa YearZero = RegexCompiler.CompileWhole("0000.*");

    // No leap seconds: whether 23:59:60 is valid depends on the day and the offset.
    private const string Time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

    private const string Label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

    private const string Hostname = Label + "(\\." + Label + ")*";

    private const string Octet = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    private const string Ipv4 = "(" + Octet + "\\.){3}" + Octet;
    private const string H16 = "[0-9A-Fa-f]{1,4}";
    private const string Ls32 = "(" + H16 + ":" + H16 + "|" + Ipv4 + ")";

    // RFC 4291 as RFC 3986 spells it out.
    private const string Ipv6 = "((" + H16 + ":){6}" + Ls32 +
        "|::(" + H16 + ":){5}" + Ls32 +
        "|(" + H16 + ")?::(" + H16 + ":){4}" + Ls32 +
        "|((" + H16 + ":){0,1}" + H16 + ")?::(" + H16 + ":){3}" + Ls32 +
        "|((" + H16 + ":){0,2}" + H16 + ")?::(" + H16 + ":){2}" + Ls32 +
        "|((" + H16 + ":){0,3}" + H16 + ")?::" + H16 + ":" + Ls32 +
        "|((" + H16 + ":){0,4}" + H16 + ")?::" + Ls32 +
        "|((" + H16 + ":){0,5}" + H16 + ")?::" + H16 +
        "|((" + H16 + ":){0,6}" + H16 + ")?::)";

    // RFC 3986.
    private const string Escaped = "%[0-9A-Fa-f]{2}";
    private const string Port = "([0-9]{1,4}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))";
    private const string PathCharacter = "([A-Za-z0-9._~!$&'()*+,;=:@-]|" + Escaped + ")";
    private const string Authority = "(([A-Za-z0-9._~!$&'()*+,;=:-]|" + Escaped + ")*@)?(\\[" + Ipv6 + "\\]|([A-Za-z0-9._~!$&'()*+,;=-]|" + Escaped + ")*)(:" + Port + "?)?";
    private const string QueryAndFragment = "(\\?(" + PathCharacter + "|[/?])*)?(#(" + PathCharacter + "|[/?])*)?";
    private const string Uri = "[A-Za-z][A-Za-z0-9+.-]*:" +
        "(//" + Authority + "(/" + PathCharacter + "*)*|/(" + PathCharacter + "+(/" + PathCharacter + "*)*)?|" + PathCharacter + "+(/" + PathCharacter + "*)*)?" +
        QueryAndFragment;

    private const string RelativeReference = "(//" + Authority + "(/" + PathCharacter + "*)*|/(" + PathCharacter + "+(/" + PathCharacter + "*)*)?" +
        "|([A-Za-z0-9._~!$&'()*+,;=@-]|" + Escaped + ")+(/" + PathCharacter + "*)*)?" + QueryAndFragment;

    private const string Pointer = "(/([^~/]|~[01])*)*";

    private const string Atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";

    private const string Duration = "P(" +
        "([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))?" +
        "|T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)|[0-9]+W)";

    // RFC 1035: what 255 octets of labels and their lengths leave for a name's text.
    private const int MaxHostname = 253;

    // RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.3: a path has 256 octets, brackets included.
    private const int MaxLocalPart = 64;
    private const int MaxAddress = 254;

    private static readonly FrozenDictionary<string, Lazy<StringSet>> ByName = new Dictionary<string, Func<StringSet>>
    {
        ["date"] = () => Whole(Date).Except(YearZero),
        ["time"] = () => Whole(Time),
        ["date-time"] = () => Whole(Date + "[Tt]" + Time).Except(YearZero),
        ["duration"] = () => Whole(Duration),
        ["uuid"] = () => Whole("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
        ["email"] = () => Whole(Atom + "(\\." + Atom + ")*@" + Hostname, MaxAddress).And(RegexCompiler.CompileWhole($"[^@]{{1,{MaxLocalPart}}}@[^@]*")),
        ["hostname"] = () => Whole(Hostname, MaxHostname),
        ["ipv4"] = () => Whole(Ipv4),
        ["ipv6"] = () => Whole(Ipv6),
        ["uri"] = () => Whole(Uri),
        ["uri-reference"] = () => Whole("(" + Uri + "|" + RelativeReference + ")"),
        ["json-pointer"] = () => Whole(Pointer),
        ["relative-json-pointer"] = () => Whole("(0|[1-9][0-9]{0,8})(#|" + Pointer + ")"),
        ["byte"] = () => Whole("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"), // OpenAPI's name for base64
    }.ToFrozenDictionary(pair => pair.Key, pair => new Lazy<StringSet>(pair.Value));

    private static StringSet Whole(string pattern, int? maxLength = null) => new(RegexCompiler.CompileWhole(pattern), maxLength);

    public static string Names => string.Join(", ", ByName.Keys.Order());

    /// <summary>The strings of a format; null when it is not one that is enforced.</summary>
    public static StringSet? Find(string name) => ByName.TryGetValue(name, out Lazy<StringSet>? strings) ? strings.Value : null;
}
