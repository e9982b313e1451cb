// What an app does with the official client: list models, chat, stream, several at once, an abort, a mistake. Prints one JSON line.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0, timeout: 60_000 });
const model = (await client.models.list()).data[0].id;
const messages = [{ role: "user", content: "Say something." }];
const options = { model, messages, temperature: 0, max_tokens: 24, ignore_eos: true };

const whole = await client.chat.completions.create(options);

let streamed = "";
let usage = null;
let finish = null;
for await (const chunk of await client.chat.completions.create({ ...options, stream: true, stream_options: { include_usage: true } })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish ??= chunk.choices[0]?.finish_reason ?? null;
  usage = chunk.usage ?? usage;
}

const together = await Promise.all(Array.from({ length: 8 }, (_, i) =>
  client.chat.completions.create({ ...options, messages: [{ role: "user", content: `Number ${i}` }] })));

const aborted = await client.chat.completions.create({ ...options, max_tokens: 4000, stream: true });
let beforeAbort = 0;
for await (const chunk of aborted) {
  beforeAbort += chunk.choices.length;
  if (beforeAbort > 3) {
    aborted.controller.abort();
    break;
  }
}

let error = null;
try {
  await client.chat.completions.create({ ...options, model: "no-such-model" });
} catch (e) {
  error = { status: e.status, code: e.code, param: e.param };
}

console.log(JSON.stringify({
  whole: whole.choices[0].message.content,
  streamed, finish, usage,
  together: together.map(reply => reply.choices[0].finish_reason),
  beforeAbort, error,
}));
