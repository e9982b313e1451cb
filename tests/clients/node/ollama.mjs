// The same with Ollama's own client: generate, listing and showing besides.
import { Ollama } from "ollama";
import { z } from "zod";
import { forecast, question, readSome, real, report, scripted, weather } from "./shared.mjs";

const client = new Ollama({ host: real });
const model = (await client.list()).models[0].name;
const options = { temperature: 0, num_predict: 24 };
const request = { model, messages: [{ role: "user", content: question }], options };

const whole = await client.chat(request);
let [streamed, last] = ["", null];
for await (const part of await client.chat({ ...request, stream: true })) {
  streamed += part.message.content;
  last = part;
}

const generated = await client.generate({ model, prompt: question, options });
const structured = await client.chat({ ...request, options: { ...options, num_predict: 400 }, format: z.toJSONSchema(z.object({ ok: z.boolean(), kind: z.enum(["a", "b"]) })) });
const shown = await client.show({ model });
const running = (await client.ps()).models[0];

let error = null;
try {
  await client.chat({ ...request, model: "no-such-model" });
} catch (e) {
  error = { status: e.status_code, name: e.message.includes("no-such-model") ? "model_not_found" : e.message };
}

const told = new Ollama({ host: scripted });
const tools = [{ type: "function", function: weather }];
const messages = [{ role: "user", content: "Weather in Rome?" }];
const first = await told.chat({ model: "scripted", messages, tools });
const call = first.message.tool_calls[0].function;
messages.push(first.message, { role: "tool", tool_name: call.name, content: forecast(call.arguments.city) });
const answer = (await told.chat({ model: "scripted", messages, tools })).message.content;
let streamedCall = null;
for await (const part of await told.chat({ model: "scripted", messages: messages.slice(0, 1), tools, stream: true }))
  streamedCall = part.message.tool_calls?.[0].function ?? streamedCall;
const thought = await told.chat({ model: "scripted", messages: [{ role: "user", content: "think" }], think: true });

const endless = await told.chat({ model: "scripted", messages: [{ role: "user", content: "forever" }], stream: true });
const pieces = await readSome(endless, () => endless.abort());

report({
  whole: whole.message.content, streamed, finish: last.done_reason, outputTokens: last.eval_count, generated: generated.response,
  times: [last.total_duration, last.prompt_eval_duration, last.eval_duration],
  structured: JSON.parse(structured.message.content), error, call: { name: call.name, city: call.arguments.city }, answer,
  streamedCall: { name: streamedCall.name, city: streamedCall.arguments.city }, thought: thought.message.thinking,
  architecture: shown.model_info["general.architecture"], running: running.size, pieces,
});
