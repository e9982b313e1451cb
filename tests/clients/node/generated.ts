// What an app writes against the generated types: nothing here is said to the compiler twice, so that a field that the description lacks does not compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

async function* lines(stream: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of stream!) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

async function* events<T>(stream: ReadableStream<Uint8Array> | null): AsyncGenerator<T> {
  for await (const line of lines(stream))
    if (line.startsWith("data: ") && line !== "data: [DONE]")
      yield JSON.parse(line.slice(6)) as T;
}

export async function use(real: string, scripted: string) {
  const client = createClient<paths, "application/json">({ baseUrl: real });
  const streams = createClient<paths, "text/event-stream">({ baseUrl: real });
  const ndjson = createClient<paths, "application/x-ndjson">({ baseUrl: real });
  const model = (await client.GET("/v1/models")).data!.data[0]!.id;
  const messages: Schemas["ChatMessage"][] = [{ role: "system", content: "Be brief." }, { role: "user", content: "Say something." }];
  const chat = { model, messages, temperature: 0, max_tokens: 24, ignore_eos: true };

  const whole = await client.POST("/v1/chat/completions", { body: chat, headers: { "X-Request-Id": "generated" } });
  let [streamed, usage] = ["", 0];
  const pieces = await streams.POST("/v1/chat/completions", { body: { ...chat, stream: true, stream_options: { include_usage: true } }, parseAs: "stream" });
  for await (const chunk of events<Schemas["ChatCompletionChunk"]>(pieces.response.body)) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage?.completion_tokens ?? usage;
  }

  const failed = await client.POST("/v1/chat/completions", { body: { ...chat, temperature: 3 } });

  const response = await client.POST("/v1/responses", { body: { model, input: "Say something.", reasoning: {}, text: {}, max_output_tokens: 16 } });
  let responded = "";
  const responding = await streams.POST("/v1/responses", { body: { model, input: "Say something.", max_output_tokens: 16, stream: true }, parseAs: "stream" });
  for await (const event of events<Schemas["ResponseStreamEvent"]>(responding.response.body))
    if (event.type === "response.output_text.delta")
      responded += event.delta ?? "";

  const message = await client.POST("/v1/messages", { body: { model, max_tokens: 16, messages: [{ role: "user", content: "Say something." }] } });
  const types: string[] = [];
  const messaging = await streams.POST("/v1/messages", { body: { model, max_tokens: 16, messages: [{ role: "user", content: "Say something." }], stream: true }, parseAs: "stream" });
  for await (const event of events<Schemas["MessageStreamEvent"]>(messaging.response.body))
    types.push(event.type);

  let generated = 0;
  const generating = await ndjson.POST("/api/chat", { body: { model, messages: [{ role: "user", content: "Say something." }], options: { num_predict: 8 } }, parseAs: "stream" });
  for await (const line of lines(generating.response.body))
    generated = (JSON.parse(line) as Schemas["OllamaChatAnswer"]).eval_count ?? generated;

  const conversation = await client.POST("/v1/conversations", { body: { items: [{ type: "message", role: "user", content: "a" }, { type: "message", role: "user", content: "b" }] } });
  const page = await client.GET("/v1/conversations/{id}/items", { params: { path: { id: conversation.data!.id }, query: { limit: 1, order: "asc" } } });
  await client.POST("/v1/chat/completions", { body: { ...chat, max_tokens: 1, store: true, metadata: { from: "generated" } } });
  const stored = await client.GET("/v1/chat/completions", { params: { query: { limit: 5, order: "desc", metadata: { from: "generated" } } } });

  const tools: Schemas["ChatTool"][] = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
  const called = await createClient<paths, "application/json">({ baseUrl: scripted })
    .POST("/v1/chat/completions", { body: { model: "scripted", messages: [{ role: "user", content: "Weather in Rome?" }], tools } });

  const first = message.data!.content[0];
  return {
    whole: whole.data!.choices[0]!.message.content, id: whole.response.headers.get("x-request-id"), streamed, usage,
    error: { status: failed.response.status, param: failed.error!.error!.param, code: failed.error!.error!.code },
    response: response.data!.output[0]!.content![0]!.text, responded, format: response.data!.text.format?.type,
    message: first?.type === "text" ? first.text : null, types, generated,
    item: page.data!.data[0]!.content![0]!.text, more: page.data!.has_more, stored: stored.data!.data.length,
    call: called.data!.choices[0]!.message.tool_calls![0]!.function?.name,
  };
}
