using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat;

/// <summary>Templates of our own, for models that bring none.</summary>
public static class BuiltinTemplates
{
    /// <summary>
    /// ChatML with tools in the notation that most ChatML models were trained on: schemas in the system message, calls as JSON between
    /// <c>&lt;tool_call&gt;</c> tags, results of successive tools in one user turn.
    /// </summary>
    public const string ChatMLSource = """
        {%- macro text(content) -%}
            {%- if content is string -%}
                {{ content }}
            {%- elif content -%}
                {%- for part in content if part.type == 'text' %}{{ part.text }}{% endfor -%}
            {%- endif -%}
        {%- endmacro -%}
        {%- set has_system = messages and messages[0].role in ['system', 'developer'] -%}
        {%- if tools -%}
            {{- '<|im_start|>system\n' -}}
            {%- if has_system %}{{ text(messages[0].content) ~ '\n\n' }}{% endif -%}
            {{- 'You may call these functions, one JSON schema a line:\n<tools>' -}}
            {%- for tool in tools %}{{ '\n' ~ tool|tojson }}{% endfor -%}
            {{- '\n</tools>\n\nFor each call write a JSON object within tags:\n<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>' -}}
            {{- '<|im_end|>\n' -}}
        {%- elif has_system -%}
            {{- '<|im_start|>system\n' ~ text(messages[0].content) ~ '<|im_end|>\n' -}}
        {%- endif -%}
        {%- for message in (messages[1:] if has_system else messages) -%}
            {%- if message.role == 'tool' -%}
                {%- if loop.first or loop.previtem.role != 'tool' %}{{ '<|im_start|>user' }}{% endif -%}
                {{- '\n<tool_response>\n' ~ text(message.content) ~ '\n</tool_response>' -}}
                {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\n' }}{% endif -%}
            {%- else -%}
                {{- '<|im_start|>' ~ ('system' if message.role == 'developer' else message.role) ~ '\n' ~ text(message.content) -}}
                {%- for call in message.tool_calls or [] -%}
                    {%- set function = call.function or call -%}
                    {%- if not loop.first or message.content %}{{ '\n' }}{% endif -%}
                    {{- '<tool_call>\n{"name": ' ~ function.name|tojson ~ ', "arguments": ' -}}
                    {{- function.arguments if function.arguments is string else function.arguments|tojson -}}
                    {{- '}\n</tool_call>' -}}
                {%- endfor -%}
                {{- '<|im_end|>\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif -%}
        """;

    /// <summary>The ChatML template, parsed.</summary>
    public static ChatTemplate ChatML { get; } = ChatTemplate.Parse(ChatMLSource);
}
