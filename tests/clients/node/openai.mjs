// What an app does with OpenAI's own client: list models, chat, stream, several at once, tools, a schema, an abort, a mistake.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { forecast, question, readSome, real, report, scripted, weather } from "./shared.mjs";

const settings = { apiKey: "unused", maxRetries: 0, timeout: 60_000 };
const client = new OpenAI({ ...settings, baseURL: `${real}v1` });
const model = (await client.models.list()).data[0].id;
const options = { model, messages: [{ role: "user", content: question }], temperature: 0, max_tokens: 24 };

const whole = await client.chat.completions.create({ ...options, ignore_eos: true });

let [streamed, usage, finish] = ["", null, null];
for await (const chunk of await client.chat.completions.create({ ...options, ignore_eos: true, stream: true, stream_options: { include_usage: true } })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish ??= chunk.choices[0]?.finish_reason ?? null;
  usage = chunk.usage ?? usage;
}

const together = await Promise.all(Array.from({ length: 8 }, (_, i) =>
  client.chat.completions.create({ ...options, ignore_eos: true, messages: [{ role: "user", content: `Number ${i}` }] })));

const parsed = await client.chat.completions.parse({
  ...options, max_tokens: 400, response_format: zodResponseFormat(z.object({ ok: z.boolean(), kind: z.enum(["a", "b"]) }), "answer"),
});

let error = null;
try {
  await client.chat.completions.create({ ...options, model: "no-such-model" });
} catch (e) {
  error = { status: e.status, name: e.code };
}

const told = new OpenAI({ ...settings, baseURL: `${scripted}v1` });
const calls = [];
const runner = told.chat.completions.runTools({ model: "scripted", messages: [{ role: "user", content: "Weather in Rome?" }],
  tools: [{ type: "function", function: { ...weather, parse: JSON.parse, function: ({ city }) => { calls.push({ name: "weather", city }); return forecast(city); } } }] });
const answer = await runner.finalContent();

const stream = told.chat.completions.stream({ model: "scripted", messages: [{ role: "user", content: "Weather in Rome?" }], tools: [{ type: "function", function: weather }] });
const streamedCall = (await stream.finalChatCompletion()).choices[0].message.tool_calls[0].function;

const endless = await told.chat.completions.create({ model: "scripted", messages: [{ role: "user", content: "forever" }], stream: true });
const pieces = await readSome(endless, () => endless.controller.abort());

report({
  whole: whole.choices[0].message.content, streamed, finish, outputTokens: usage.completion_tokens,
  together: together.map(reply => reply.choices[0].finish_reason),
  structured: parsed.choices[0].message.parsed, error, call: calls[0], answer,
  streamedCall: { name: streamedCall.name, city: JSON.parse(streamedCall.arguments).city }, pieces,
});
