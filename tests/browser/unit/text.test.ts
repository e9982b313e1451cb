import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../../../src/InferenceServer.Web/src/api/sse.ts";
import { numbersOf, summarize } from "../../../src/InferenceServer.Web/src/chat/numbers.ts";
import { acceptTitle, firstWords } from "../../../src/InferenceServer.Web/src/chat/title.ts";
import type { ModelResponse } from "../../../src/InferenceServer.Web/src/api/types.ts";
import { pretty } from "../../../src/InferenceServer.Web/src/chat/json.ts";
import { ageGroup, bytes, duration } from "../../../src/InferenceServer.Web/src/ui/format.ts";

test("Events are the same in whatever pieces they come", () => {
  const stream = "event: a\r\ndata: {\"x\":1}\r\n\r\n: a comment\n\ndata: one\ndata: two\n\nid: 7\ndata:tight\n\n";
  const whole = [...new EventParser().push(stream)];
  assert.deepEqual(whole, [{ event: "a", data: "{\"x\":1}" }, { event: "message", data: "one\ntwo" }, { event: "message", data: "tight" }]);
  const parser = new EventParser();
  assert.deepEqual([...stream].flatMap(letter => [...parser.push(letter)]), whole);
});

test("A title is short and about the conversation, or it is none", () => {
  const [user, reply] = ["Why is the sky blue?", "Sunlight is made of many colors. The air scatters blue light."];
  for (const good of ["Blue Sky Explained", "\"The Color of the Sky: Sunlight\"", "Title: Why Sunlight Scatters"])
    assert.notEqual(acceptTitle(good.replace(": ", ":"), user, reply), null, good);
  for (const bad of ["", "Sunlight is made of many colors", reply, "Bananas and Pears", "A title\nand more", "Sure! Here is a title about the sky", "The Earth light and the And not say that", "Earth Moves Around Light", "x".repeat(80)])
    assert.equal(acceptTitle(bad, user, reply), null, bad);
});

test("First words end at a word", () => {
  assert.equal(firstWords("Short"), "Short");
  assert.equal(firstWords("Write a Python function that adds two numbers and prints them."), "Write a Python function that adds two…");
  assert.equal(firstWords("# Heading\n\n```js\nx\n```"), "Heading");
  assert.equal(firstWords("a".repeat(60)), `${"a".repeat(42)}…`);
});

test("Numbers say what was measured and nothing else", () => {
  const response = {
    usage: { input_tokens: 100, input_tokens_details: { cached_tokens: 25 }, output_tokens: 11, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 111 },
    timing: { queue_ms: 10, prefill_ms: 40, decode_ms: 100, prompt_tokens_computed: 75, prompt_tokens_cached: 25, mean_batch: 1 },
  } as unknown as ModelResponse;
  const numbers = numbersOf(response);
  assert.ok(numbers);
  assert.equal(summarize(numbers), "11 tokens · 100 tokens/s · first token after 50 ms · 25% of 100 prompt tokens from the cache");
  const silent = numbersOf({ ...response, timing: undefined } as unknown as ModelResponse);
  assert.equal(silent && summarize(silent), "11 tokens · 25% of 100 prompt tokens from the cache");
  assert.equal(numbersOf({ ...response, usage: null }), null);
});

test("JSON is told from text", () => {
  assert.equal(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
  for (const text of ["1", "words", "{ not json", "[1, 2"])
    assert.equal(pretty(text), null, text);
});

test("Ages, sizes and times read as people say them", () => {
  const now = new Date(2026, 4, 15, 12);
  const ago = (days: number) => ageGroup(now.getTime() / 1000 - days * 86_400, now);
  assert.deepEqual([0, 1, 3, 20, 60].map(ago), ["Today", "Yesterday", "Last 7 days", "Last 30 days", "March 2026"]);
  assert.deepEqual([900, 1500, 61_000].map(duration), ["900 ms", "1.5 s", "1 min 1 s"]);
  assert.equal(bytes(5 * 1024 * 1024), "5.0 MB");
});
