// What an app does with responses, conversations and stored completions through the official client. Prints one JSON line.
import OpenAI from "openai";
import { real, report } from "./shared.mjs";

const client = new OpenAI({ baseURL: `${real}v1`, apiKey: "unused", maxRetries: 0, timeout: 60_000 });
const model = (await client.models.list()).data[0].id;
const options = { model, temperature: 0, max_output_tokens: 16 };

const whole = await client.responses.create({ ...options, input: "Say something." });

const types = [];
let streamed = "";
let last = null;
for await (const event of await client.responses.create({ ...options, input: "Say something.", stream: true })) {
  types.push(event.type);
  if (event.type === "response.output_text.delta") streamed += event.delta;
  last = event;
}

// The client's own accumulation of events has to agree with what the last one says.
const accumulated = await client.responses.stream({ ...options, input: "Say something." }).finalResponse();

const next = await client.responses.create({ ...options, input: "And then?", previous_response_id: whole.id });
const retrieved = await client.responses.retrieve(next.id);
const inputItems = [];
for await (const item of client.responses.inputItems.list(next.id)) inputItems.push(item.content[0].text);
const counted = await client.responses.inputTokens.count({ model, input: "And then?", previous_response_id: whole.id });

const conversation = await client.conversations.create({ metadata: { topic: "test" }, items: [{ role: "user", content: "Hello." }] });
await client.responses.create({ ...options, input: "More.", conversation: conversation.id });
const conversationItems = [];
for await (const item of client.conversations.items.list(conversation.id, { order: "asc", limit: 1 })) conversationItems.push(`${item.type}:${item.role}`);
await client.conversations.delete((await client.conversations.create()).id);
const removed = await client.conversations.delete(conversation.id);

const background = await client.responses.create({ model, input: "Go on.", background: true, ignore_eos: true, max_output_tokens: 3000 });
const cancelled = await client.responses.cancel(background.id);
const short = await client.responses.create({ ...options, input: "Short.", background: true });
const resumed = [];
for await (const event of await client.responses.retrieve(short.id, { stream: true, starting_after: 0 })) resumed.push(event.sequence_number);

await client.responses.delete(next.id);
let missing = null;
try {
  await client.responses.retrieve(next.id);
} catch (e) {
  missing = { status: e.status, code: e.code };
}

let refused = null;
try {
  await client.responses.create({ ...options, input: "x", tools: [{ type: "web_search" }], tool_choice: { type: "web_search" } });
} catch (e) {
  refused = { status: e.status, param: e.param };
}

const stored = await client.chat.completions.create({ model, messages: [{ role: "user", content: "Keep this." }], max_tokens: 4, store: true, metadata: { run: "a" } });
const listed = [];
for await (const completion of client.chat.completions.list({ metadata: { run: "a" }, limit: 1 })) listed.push(completion.id);
const messages = (await client.chat.completions.messages.list(stored.id)).data.map(message => message.content);
const updated = await client.chat.completions.update(stored.id, { metadata: { run: "b" } });
const dropped = await client.chat.completions.delete(stored.id);

report({
  whole: whole.output_text, streamed, types, last: last.response.output[0].content[0].text, accumulated: accumulated.output[0].content[0].text,
  chained: next.previous_response_id === whole.id && retrieved.id === next.id, inputItems,
  counted: counted.input_tokens === next.usage.input_tokens,
  conversationItems, removed: removed.deleted, cancelled: cancelled.status, resumed, missing, refused,
  listed: listed.length === 1 && listed[0] === stored.id, messages, updated: updated.metadata.run, dropped: dropped.deleted,
});
