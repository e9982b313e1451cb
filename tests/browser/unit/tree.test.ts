import assert from "node:assert/strict";
import { test } from "node:test";
import type { Item } from "../../../src/InferenceServer.Web/src/api/types.ts";
import { textOf, Tree, turnsOf } from "../../../src/InferenceServer.Web/src/chat/tree.ts";

const message = (id: string, parent: string | null | undefined, role: "user" | "assistant" = "user", response: string | null = null): Item => ({
  id, type: "message", role, content: [{ type: role === "user" ? "input_text" : "output_text", text: id }], response_id: response,
  ...(parent === undefined ? {} : { parent_id: parent }),
});

test("Items without parents are one line", () => {
  const tree = new Tree([message("a", undefined), message("b", undefined), message("c", undefined)]);
  assert.deepEqual(tree.path("c").map(item => item.id), ["a", "b", "c"]);
});

test("Branches keep their order, and the newest is followed down", () => {
  const tree = new Tree([message("a", null), message("b", "a"), message("c", "a"), message("d", "b"), message("e", "c")]);
  assert.deepEqual(tree.siblings("b"), ["b", "c"]);
  assert.equal(tree.newestLeaf(null), "e");
  assert.equal(tree.newestLeaf("b"), "d");
  assert.deepEqual(tree.path("d").map(item => item.id), ["a", "b", "d"]);
});

test("An item that comes again replaces itself and moves nowhere", () => {
  const tree = new Tree([message("a", null), message("b", "a")]);
  tree.add({ ...message("b", "elsewhere"), status: "completed" });
  assert.deepEqual(tree.children("a"), ["b"]);
  assert.equal(tree.parent("b"), "a");
});

test("An item whose parent is missing begins a root, and a circle ends", () => {
  const tree = new Tree([message("a", "gone")]);
  assert.deepEqual(tree.children(null), ["a"]);
  const circle = new Tree([message("x", "y"), message("y", "x")]);
  assert.ok(circle.path("x").length <= 2);
});

test("What one reply is made of is one turn", () => {
  const path: Item[] = [
    message("u", null),
    { id: "r", type: "reasoning", summary: [], response_id: "1", parent_id: "u" },
    message("m", "r", "assistant", "1"),
    { id: "c", type: "function_call", call_id: "k", name: "f", arguments: "{}", response_id: "1", parent_id: "m" },
    { id: "o", type: "function_call_output", call_id: "k", output: "x", parent_id: "c" },
    message("n", "o", "assistant", "2"),
    message("v", "n"),
  ];
  assert.deepEqual(turnsOf(path).map(turn => [turn.role, turn.items.map(item => item.id).join("")]), [["user", "u"], ["assistant", "rmcon"], ["user", "v"]]);
  assert.deepEqual(new Tree(path).reply("r").map(item => item.id), ["r", "m", "c"]);
});

test("Two replies in a row are two turns", () => {
  assert.equal(turnsOf([message("a", null, "assistant", "1"), message("b", "a", "assistant", "2")]).length, 2);
});

test("Reasoning reads its content before its summary", () => {
  assert.equal(textOf({ id: "r", type: "reasoning", summary: [{ type: "summary_text", text: "short" }], content: [{ type: "reasoning_text", text: "long" }] }), "long");
  assert.equal(textOf({ id: "r", type: "reasoning", summary: [{ type: "summary_text", text: "short" }] }), "short");
});
