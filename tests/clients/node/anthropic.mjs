// The same with Anthropic's own client: thinking and token counting besides.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { forecast, question, readSome, real, report, scripted, weather } from "./shared.mjs";

const settings = { apiKey: "unused", maxRetries: 0, timeout: 60_000 };
const client = new Anthropic({ ...settings, baseURL: real });
const model = (await client.models.list()).data[0].id;
const options = { model, messages: [{ role: "user", content: question }], top_k: 1, max_tokens: 24 };
const textOf = message => message.content.filter(block => block.type === "text").map(block => block.text).join("");

const whole = await client.messages.create(options);
const streaming = client.messages.stream(options);
let streamed = "";
streaming.on("text", text => { streamed += text; });
const final = await streaming.finalMessage();
const counted = await client.messages.countTokens({ model, messages: options.messages });

const parsed = await client.messages.parse({
  ...options, max_tokens: 400, output_config: { format: zodOutputFormat(z.object({ ok: z.boolean(), kind: z.enum(["a", "b"]) })) },
});

let error = null;
try {
  await client.messages.create({ ...options, model: "no-such-model" });
} catch (e) {
  error = { status: e.status, name: e.error?.error?.type, requestId: e.requestID };
}

const told = new Anthropic({ ...settings, baseURL: scripted });
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.parameters }];
const messages = [{ role: "user", content: "Weather in Rome?" }];
const first = await told.messages.create({ model: "scripted", max_tokens: 100, messages, tools });
const call = first.content.find(block => block.type === "tool_use");
messages.push({ role: "assistant", content: first.content },
  { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: forecast(call.input.city) }] });
const answer = textOf(await told.messages.create({ model: "scripted", max_tokens: 100, messages, tools }));
const streamedFirst = await told.messages.stream({ model: "scripted", max_tokens: 100, messages: messages.slice(0, 1), tools }).finalMessage();
const streamedCall = streamedFirst.content.find(block => block.type === "tool_use");

// A thought and its signature go back as they came.
const thinking = { type: "enabled", budget_tokens: 50 };
const thought = await told.messages.stream({ model: "scripted", max_tokens: 100, messages: [{ role: "user", content: "think" }], thinking }).finalMessage();
await told.messages.create({ model: "scripted", max_tokens: 100, thinking,
  messages: [{ role: "user", content: "think" }, { role: "assistant", content: thought.content }, { role: "user", content: "again" }] });

const endless = await told.messages.create({ model: "scripted", max_tokens: 4000, messages: [{ role: "user", content: "forever" }], stream: true });
const pieces = await readSome(endless, () => endless.controller.abort());

report({
  whole: textOf(whole), streamed, finish: final.stop_reason, outputTokens: final.usage.output_tokens,
  counted: counted.input_tokens, input: whole.usage.input_tokens + whole.usage.cache_read_input_tokens, id: whole._request_id,
  structured: parsed.parsed_output, error, call: { name: call.name, city: call.input.city }, answer,
  streamedCall: { name: streamedCall.name, city: streamedCall.input.city },
  thought: thought.content[0].thinking, stopReason: first.stop_reason, pieces,
});
