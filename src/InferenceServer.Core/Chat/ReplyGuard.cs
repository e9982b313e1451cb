using System.Text;
using InferenceServer.Chat.Replies;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>What the replies to one request are held to, and how they are taken apart.</summary>
/// <param name="Constraint">Null where the model is left alone.</param>
/// <param name="Split">Null where replies are content as they stand.</param>
internal sealed record ReplyGuard(ConstraintSource? Constraint, ReplySplitOptions? Split)
{
    /// <param name="rendered">The prompt's text: its end may have opened what the reply goes on with.</param>
    /// <exception cref="RequestProblem">Two fields contradict each other.</exception>
    public static ReplyGuard Of(ChatRequest request, ServedModel model, string rendered)
    {
        ReplyFormat format = model.Replies.Format;
        bool mustCall = request.ToolChoice.Mode is ToolMode.Required or ToolMode.Named;
        ToolSignature[] tools = [.. request.Tools.Where(tool => request.ToolChoice.Allows(tool.Name))
            .Select(tool => new ToolSignature(tool.Name, tool.Parameters) { Path = tool.Path, IsExact = (mustCall && request.Hosted?.Find(tool.Name) is null) || tool.Strict == true })];
        ConstraintSource? content = request.Options.Constraint;
        ReplyOpening opening = format.OpeningOf(rendered);
        if (tools.Length == 0 && content is null)
            return new(null, format.HasMarkers ? new ReplySplitOptions { Opening = opening } : null);
        if (tools.Length == 0 && !format.FramesContent)
            return new(content, null);
        if (tools.Length > 0 && request.Options.IgnoreEndOfGeneration)
            throw RequestProblem.Invalid("{where} and 'tools' cannot both be given: a reply whose call is whole must end.", nameof(GenerationOptions.IgnoreEndOfGeneration), "invalid_value");
        ReplySplitOptions split = new() { Tools = tools, Opening = opening, CallsAreConstrained = tools.Length > 0, ContentIsConstrained = content is not null };
        ReplyRules rules = new()
        {
            Tools = tools,
            MustCall = mustCall,
            ManyCalls = request.AllowMultipleToolCalls && request.ToolChoice.Mode != ToolMode.Named,
            Opening = opening,
            ReasoningIsOver = format.IsReasoningOver(rendered),
        };
        ServedReplies replies = model.Replies;
        return new(new ConstraintSource(content?.Path ?? "tools", KeyOf(rules, content), cancellation =>
        {
            ReplyGrammar grammar = new(format, rules with { Content = content?.Build(cancellation).Part }, replies.ControlTokenNames, replies.EndTokenNames);
            return new BuiltConstraint(grammar.Build(cancellation), grammar.Loosened);
        }), split);
    }

    /// <summary>All that the grammar depends on; the format is the model's, and so is what remembers grammars.</summary>
    private static string KeyOf(ReplyRules rules, ConstraintSource? content)
    {
        StringBuilder key = new($"reply {rules.Opening} {rules.ReasoningIsOver} {rules.MustCall} {rules.ManyCalls} {content?.Path} {content?.Key}");
        foreach (ToolSignature tool in rules.Tools)
            key.Append('\n').Append(tool.Path).Append(' ').Append(tool.Name).Append(' ').Append(tool.IsExact).Append(' ').Append(tool.Parameters?.GetRawText());
        return key.ToString();
    }
}
