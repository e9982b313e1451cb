// The same with Vercel's AI SDK, through its provider for servers that speak as OpenAI does.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { forecast, question, readSome, real, report, scripted, weather } from "./shared.mjs";

const provider = (name, url) => createOpenAICompatible({ name, baseURL: `${url}v1`, apiKey: "unused", supportsStructuredOutputs: true, includeUsage: true });
const { data } = await (await fetch(`${real}v1/models`)).json();
const model = provider("real", real)(data[0].id);
const options = { model, prompt: question, temperature: 0, maxOutputTokens: 24, maxRetries: 0 };

const whole = await generateText(options);
const streaming = streamText(options);
let streamed = "";
for await (const text of streaming.textStream)
  streamed += text;

const parsed = await generateText({ ...options, maxOutputTokens: 400, output: Output.object({ schema: z.object({ ok: z.boolean(), kind: z.enum(["a", "b"]) }) }) });

let error = null;
try {
  await generateText({ ...options, model: provider("real", real)("no-such-model") });
} catch (e) {
  error = { status: e.statusCode, name: e.data?.error?.code };
}

const told = provider("told", scripted)("scripted");
const calls = [];
const tools = { weather: tool({ description: weather.description, inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => { calls.push({ name: "weather", city }); return forecast(city); } }) };
const answered = await generateText({ model: told, prompt: "Weather in Rome?", tools, stopWhen: isStepCount(3), maxRetries: 0 });
const streamedAnswer = streamText({ model: told, prompt: "Weather in Rome?", tools, stopWhen: isStepCount(3), maxRetries: 0 });
const streamedCall = (await streamedAnswer.steps)[0].toolCalls[0];
const thought = await generateText({ model: told, prompt: "think", maxRetries: 0 });

const controller = new AbortController();
const endless = streamText({ model: told, prompt: "forever", abortSignal: controller.signal, maxRetries: 0, onError: () => {} });
const pieces = await readSome(endless.textStream, () => controller.abort());

report({
  whole: whole.text, streamed, finish: await streaming.finishReason, outputTokens: (await streaming.usage).outputTokens,
  structured: parsed.output, error, call: calls[0], answer: answered.text,
  streamedCall: { name: streamedCall.toolName, city: streamedCall.input.city }, thought: thought.reasoningText, pieces,
});
