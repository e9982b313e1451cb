// The same with LangChain.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { forecast, question, readSome, real, report, scripted, weather } from "./shared.mjs";

const chat = (url, model, more = {}) => new ChatOpenAI({ model, apiKey: "unused", maxRetries: 0, timeout: 60_000, configuration: { baseURL: `${url}v1` }, ...more });
const { data } = await (await fetch(`${real}v1/models`)).json();
const model = chat(real, data[0].id, { temperature: 0, maxTokens: 24 });

const whole = await model.invoke(question);
let [streamed, finish, usage] = ["", null, null];
for await (const chunk of await model.stream(question)) {
  streamed += chunk.content;
  finish = chunk.response_metadata.finish_reason ?? finish;
  usage = chunk.usage_metadata ?? usage;
}

const structured = await chat(real, data[0].id, { temperature: 0, maxTokens: 400 })
  .withStructuredOutput(z.object({ ok: z.boolean(), kind: z.enum(["a", "b"]) }), { method: "jsonSchema", name: "answer" }).invoke(question);

let error = null;
try {
  await chat(real, "no-such-model").invoke(question);
} catch (e) {
  error = { status: e.status, name: e.code ?? e.error?.code };
}

const told = chat(scripted, "scripted").bindTools([tool(({ city }) => forecast(city),
  { name: weather.name, description: weather.description, schema: z.object({ city: z.string() }) })]);
const messages = [new HumanMessage("Weather in Rome?")];
const first = await told.invoke(messages);
const call = first.tool_calls[0];
messages.push(first, new ToolMessage({ tool_call_id: call.id, content: forecast(call.args.city) }));
const answer = (await told.invoke(messages)).content;
let gathered = null;
for await (const chunk of await told.stream(messages.slice(0, 1)))
  gathered = gathered === null ? chunk : gathered.concat(chunk);
const streamedCall = gathered.tool_calls[0];

const controller = new AbortController();
const pieces = await readSome(await chat(scripted, "scripted").stream("forever", { signal: controller.signal }), () => controller.abort());

report({
  whole: whole.content, streamed, finish, outputTokens: usage?.output_tokens, structured, error,
  call: { name: call.name, city: call.args.city }, answer, streamedCall: { name: streamedCall.name, city: streamedCall.args.city }, pieces,
});
