export interface Example {
  name: string;
  body: (model: string) => unknown;
}

const hello = [{ role: "user", content: "Why is the sky blue?" }];
const schema = { type: "object", properties: { city: { type: "string" }, warm: { type: "boolean" } }, required: ["city", "warm"], additionalProperties: false };
const weather = { name: "weather", description: "The weather of a city", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } };

/** Bodies to begin with, by endpoint. Others get the example of the description. */
export const examples: Record<string, Example[]> = {
  "POST /v1/chat/completions": [
    { name: "Stream a reply", body: model => ({ model, messages: hello, temperature: 0.5, stream: true, stream_options: { include_usage: true }, timing: true }) },
    { name: "Whole reply", body: model => ({ model, messages: [{ role: "system", content: "Answer in one short sentence." }, ...hello], temperature: 0.5 }) },
    { name: "JSON by a schema", body: model => ({ model, messages: [{ role: "user", content: "Is Rome warm?" }], response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } }, max_completion_tokens: 64 }) },
    { name: "Call a function", body: model => ({ model, messages: [{ role: "user", content: "What is the weather in Rome?" }], tools: [{ type: "function", function: weather }], tool_choice: "required", max_completion_tokens: 64 }) },
    { name: "One of several texts", body: model => ({ model, messages: [{ role: "user", content: "Is a whale a fish?" }], choice: ["yes", "no"], logprobs: true, top_logprobs: 3 }) },
    { name: "What the cache gave", body: model => ({ model, messages: hello, x_cache_report: true, timing: true, max_completion_tokens: 32 }) },
  ],
  "POST /v1/completions": [
    { name: "Continue a text", body: model => ({ model, prompt: "Once upon a time", max_tokens: 60, temperature: 0.5, stream: true }) },
    { name: "Likely tokens", body: model => ({ model, prompt: "The capital of France is", max_tokens: 8, logprobs: 3, echo: true }) },
  ],
  "POST /v1/responses": [
    { name: "Stream a reply", body: model => ({ model, input: "Why is the sky blue?", temperature: 0.5, stream: true, timing: true }) },
    { name: "In the background", body: model => ({ model, input: "Tell me a story about a brave mouse.", background: true }) },
    { name: "JSON by a schema", body: model => ({ model, input: "Is Rome warm?", text: { format: { type: "json_schema", name: "answer", schema } }, max_output_tokens: 64 }) },
    { name: "Call a function", body: model => ({ model, input: "What is the weather in Rome?", tools: [{ type: "function", ...weather }], tool_choice: "required", max_output_tokens: 64 }) },
  ],
  "POST /v1/messages": [
    { name: "Stream a reply", body: model => ({ model, max_tokens: 200, messages: hello, stream: true }) },
  ],
  "POST /v1/embeddings": [
    { name: "Two texts", body: model => ({ model, input: ["The sky is blue.", "Bread is baked."] }) },
  ],
  "POST /v1/rerank": [
    { name: "Order documents", body: model => ({ model, query: "What colour is the sky?", documents: ["Bread is baked in an oven.", "The sky is blue by day."], return_documents: true }) },
  ],
  "POST /v1/moderations": [
    { name: "Judge a text", body: () => ({ input: "I like tea." }) },
  ],
  "POST /v1/conversations": [
    { name: "Begin one", body: () => ({ metadata: { title: "From the API" }, items: [{ type: "message", role: "user", content: "Hello!" }] }) },
  ],
  "POST /tokenize": [
    { name: "With pieces", body: () => ({ content: "Why is the sky blue?", with_pieces: true }) },
  ],
  "POST /detokenize": [
    { name: "Ten tokens", body: () => ({ tokens: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }) },
  ],
  "POST /apply-template": [
    { name: "The prompt of a chat", body: model => ({ model, messages: hello }) },
  ],
  "POST /api/chat": [
    { name: "As Ollama's clients", body: model => ({ model, messages: hello, options: { temperature: 0.5 } }) },
  ],
  "POST /api/generate": [
    { name: "One prompt", body: model => ({ model, prompt: "Tell me a joke.", options: { temperature: 0.5 } }) },
  ],
};
