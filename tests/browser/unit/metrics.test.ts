import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics, percentile, rate } from "../../../src/InferenceServer.Web/src/status/metrics.ts";
import { judge } from "../../../src/InferenceServer.Web/src/status/verdict.ts";

const scrape = (time: number, counter: number, buckets: number[]) => new Metrics([
  "# HELP c Words.", "# TYPE c counter", `c{model="a",source="x"} ${counter}`, `c{model="b",source="x"} 1`, "c{model=\"a \\\"quoted\\\", {b}\",source=\"y\"} 5",
  ...buckets.map((count, index) => `h_bucket{le="${["0.1", "0.2", "0.4", "+Inf"][index]}"} ${count}`),
].join("\n"), time);

test("Values are read with their labels", () => {
  const metrics = scrape(0, 3, []);
  assert.equal(metrics.sum("c"), 9);
  assert.equal(metrics.sum("c", { source: "x" }), 4);
  assert.equal(metrics.series("c")[2]?.labels.model, "a \"quoted\", {b}");
  assert.equal(metrics.sum("absent"), 0);
});

test("A rate is a growth a second, and begins again with the server", () => {
  assert.equal(rate(scrape(0, 10, []), scrape(4, 30, []), "c", { model: "a", source: "x" }), 5);
  assert.equal(rate(scrape(0, 30, []), scrape(4, 8, []), "c", { model: "a", source: "x" }), 2);
  assert.equal(rate(scrape(0, 30, []), scrape(0, 40, []), "c"), 0);
});

test("A percentile lies within its bucket", () => {
  const [before, after] = [scrape(0, 0, [10, 10, 10, 10]), scrape(1, 0, [10, 20, 20, 20])];
  assert.ok(Math.abs((percentile(before, after, "h", 0.5) ?? 0) - 0.15) < 1e-9);
  assert.ok(Math.abs((percentile(before, after, "h", 1) ?? 0) - 0.2) < 1e-9);
  assert.equal(percentile(after, after, "h", 0.5), null);
});

test("Beyond the last bound a percentile is that bound", () => {
  assert.equal(percentile(scrape(0, 0, [0, 0, 0, 0]), scrape(1, 0, [0, 0, 0, 4]), "h", 0.5), 0.4);
});

test("One glance tells what the limit is", () => {
  const calm = { up: true, busy: 0.1, running: 0, waiting: 0, held: 0, preemptions: 0 };
  const level = (part: Partial<typeof calm>) => judge({ ...calm, ...part }).level;
  assert.equal(level({}), "idle");
  assert.equal(level({ running: 1 }), "fine");
  assert.equal(level({ running: 1, busy: 0.95 }), "busy");
  assert.equal(level({ running: 1, busy: 0.95, waiting: 3 }), "limit");
  assert.match(judge({ ...calm, running: 2, waiting: 1, held: 0.95 }).title, /Memory/);
  assert.equal(level({ up: false, waiting: 9 }), "down");
});
