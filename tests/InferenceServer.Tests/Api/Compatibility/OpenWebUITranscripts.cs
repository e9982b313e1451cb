namespace InferenceServer.Tests.Api.Compatibility;

internal static class OpenWebUITranscripts
{
    public static Client Client { get; } = new("Open WebUI", "A connection of type OpenAI with `http://127.0.0.1:8080/v1`, or of type Ollama with `http://127.0.0.1:8080`.",
    [
        new("Its own `chat_id`, `session_id` and `features` in the body", "They are left out, and `x-ignored-params` names them.", "/v1/chat/completions", """
            {"model":"scripted","stream":true,"messages":[{"role":"user","content":"Hello"}],"chat_id":"c1","session_id":"s1","features":{"web_search":false},"stream_options":{"include_usage":true} }
            """)
        {
            Ignored = "chat_id, session_id, features", Facts = [("+.choices[0].delta.content", "Fine."), ("[-1].usage.total_tokens", "*")],
        },
        new("A title, tags and follow-up questions, asked for in a `### Task:` message that wants JSON", "The model answers it as any chat. Only a schema in `response_format` would hold a small model to JSON.", "/v1/chat/completions", """
            {"model":"scripted","stream":false,"max_completion_tokens":1000,"messages":[{"role":"user","content":"### Task:\nGenerate a short title.\n### Output:\nJSON format: { \"title\": \"your title\" }\n### Chat History:\n<chat_history>\nUSER: Hello\n</chat_history>"}]}
            """)
        {
            Reply = "{\"title\": \"Hello\"}", Facts = [("choices[0].message.content", "{\"title\": \"Hello\"}"), ("choices[0].finish_reason", "stop")],
        },
        new("`GET /api/tags` and `GET /api/version` of a connection of type Ollama", "They list what is loaded, and say which Ollama's API is spoken.", "/api/tags") { Facts = [("models[0].model", "scripted:latest"), ("models[0].details.format", "gguf")] },
        new("`/api/chat` with `options` and `keep_alive`", "Sampling options are honoured. Those that belong to loading are named in `x-ignored-params`.", "/api/chat", """
            {"model":"scripted:latest","messages":[{"role":"user","content":"Hello"}],"stream":true,"options":{"temperature":0.7,"num_ctx":4096},"keep_alive":"30m"}
            """)
        {
            Ignored = "options.num_ctx", Facts = [("+.message.content", "Fine."), ("[-1].done", "True"), ("[-1].done_reason", "stop")],
        },
    ]);
}
