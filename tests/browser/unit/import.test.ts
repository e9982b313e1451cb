import assert from "node:assert/strict";
import { test } from "node:test";
import type { Item, MessageItem } from "../../../src/InferenceServer.Web/src/api/types.ts";
import { fromParts, toParts } from "../../../src/InferenceServer.Web/src/chat/attachments.ts";
import { readMeta, splitText, writeMeta } from "../../../src/InferenceServer.Web/src/chat/metadata.ts";
import { toMarkdown } from "../../../src/InferenceServer.Web/src/sidebar/exportFormat.ts";
import { inCalls, parseImport } from "../../../src/InferenceServer.Web/src/sidebar/import.ts";

const node = (id: string, parent: string | null, role: string, text: string, extra: object = {}) => ({
  id, parent, children: [], message: text === "" ? null : { id, author: { role }, create_time: 1700000000.5, content: { content_type: "text", parts: [text] }, ...extra },
});

const chatGpt = JSON.stringify([{
  title: "Trip", current_node: "a2",
  mapping: {
    root: node("root", null, "system", ""),
    hidden: node("hidden", "root", "system", "You are ChatGPT."),
    u1: node("u1", "hidden", "user", "Where to?"),
    a1: node("a1", "u1", "assistant", "Rome."),
    a2: node("a2", "u1", "assistant", "Oslo."),
    tool: node("tool", "a2", "tool", "result"),
  },
}]);

test("ChatGPT's export keeps its branches, without what was hidden", () => {
  const [one] = parseImport(chatGpt).conversations;
  assert.deepEqual(one?.items.map(item => [item.id, item.parent_id]), [["u1", null], ["a1", "u1"], ["a2", "u1"]]);
  assert.equal(one?.items[0]?.created_at, 1700000000);
  const meta = readMeta(one?.metadata ?? {});
  assert.deepEqual([meta.title, meta.leaf, meta.titledBy], ["Trip", "a2", "user"]);
});

test("A chat as deep as it is long is read", () => {
  const mapping = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`n${index}`, node(`n${index}`, index === 0 ? null : `n${index - 1}`, index % 2 ? "assistant" : "user", "x")]));
  const [one] = parseImport(JSON.stringify([{ title: "Long", mapping, current_node: "n4999" }])).conversations;
  assert.equal(one?.items.length, 5000);
  assert.equal(inCalls(one?.items ?? [], 20).length, 250);
});

test("Our own export comes back as it was", () => {
  const items: Item[] = [{ id: "a", parent_id: null, type: "message", role: "user", content: [{ type: "input_text", text: "x" }] }];
  const file = { format: "inference-server.conversations", version: 1, conversations: [{ created_at: 1, metadata: { title: "T" }, items }] };
  assert.deepEqual(parseImport(JSON.stringify(file)), { conversations: [{ metadata: { title: "T" }, items }], personas: [] });
  const personas = [{ id: "p", name: "Pirate", instructions: "You are a pirate." }];
  assert.deepEqual(parseImport(JSON.stringify({ ...file, personas })).personas, personas);
});

test("What cannot be imported is refused with where and why", () => {
  const own = (conversations: unknown, personas?: unknown) => JSON.stringify({ format: "inference-server.conversations", version: 1, conversations, personas });
  const refused: [string, RegExp][] = [
    ["{", /not JSON/], ["[]", /neither/], ["{\"a\":1}", /neither/], ["[{\"mapping\":[]}]", /neither/],
    [JSON.stringify({ format: "inference-server.conversations", version: 2 }), /version 2/],
    [own([{ items: [{ type: "message" }] }]), /conversations\[0\]\.items\[0\] has no id/],
    [own([{ items: [{ id: "a", type: "message" }] }]), /conversations\[0\]\.items\[0\] is a message without/],
    [own({}), /conversations is not an array/],
    [own([], "x"), /personas is not an array/],
    [own([], [{ id: "p", name: "P" }]), /personas\[0\] has no id, no name or no instructions/],
    [own([], [{ id: "p", name: "P", instructions: "x".repeat(5121) }]), /personas\[0\] is too long/],
    [own([], Array.from({ length: 501 }, (_, index) => ({ id: String(index), name: "P", instructions: "" }))), /501 personas/],
  ];
  for (const [text, why] of refused)
    assert.throws(() => parseImport(text), why, text);
});

test("Files survive the way through a message", () => {
  const files = [{ name: "a\"b&.txt", text: "line\n</file>\n\n" }, { name: "c", text: "" }];
  const item: MessageItem = { id: "m", type: "message", role: "user", content: toParts("What is this?", files) };
  assert.deepEqual(fromParts(item), { text: "What is this?", files });
});

test("Metadata keeps long instructions, and the pairs of others", () => {
  const instructions = `${"é".repeat(511)}😀${"x".repeat(2000)}`;
  const metadata = writeMeta({ title: "T", titledBy: "user", pinned: true, persona: "brief", instructions, leaf: "m" }, { other: "stays", "instructions.9": "old" });
  assert.ok(Object.values(metadata).every(value => value.length <= 512));
  assert.equal(metadata.other, "stays");
  assert.deepEqual(readMeta(metadata), { title: "T", titledBy: "user", pinned: true, persona: "brief", instructions, leaf: "m" });
  assert.equal(splitText("a😀", 2).join("|"), "a|😀");
});

test("Markdown that is exported fences what holds fences", () => {
  const markdown = toMarkdown("T", "", [{ id: "m", type: "message", role: "user", content: toParts("See.", [{ name: "a.md", text: "```js\nx\n```" }]) }]);
  assert.match(markdown, /^# T\n\n## You\n\nFile a\.md:\n\n````\n```js\nx\n```\n````\n\nSee\.\n$/);
});
