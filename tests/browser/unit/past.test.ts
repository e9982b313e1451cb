import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestRecord } from "../../../src/InferenceServer.Web/src/api/types.ts";
import { past } from "../../../src/InferenceServer.Web/src/status/past.ts";

const record = (values: Partial<RequestRecord>): RequestRecord => ({
  id: "r", created_at: 0, endpoint: "/v1/responses", status: 200, outcome: "ok", model: "m", stream: true, prompt_tokens: 40, cached_tokens: 10, completion_tokens: 41,
  queue_position: null, queue_ms: 1000, prefill_ms: 1000, decode_ms: 4000, first_token_ms: 2000, total_ms: 6000, cache: null, preemptions: 0, ...values,
});

test("What happened before a page was opened is plotted from the requests that the server remembers", () => {
  const plots = past([record({ created_at: 100 }), record({ created_at: 102, outcome: "client_error", first_token_ms: null })], 110, 7, 1, 600, 3);
  assert.deepEqual(plots.times, [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(plots.waiting, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(plots.running, [0, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
  assert.deepEqual(plots.computed, [0, 30, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(plots.cached, [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(plots.generated, [0, 0, 10.25, 10.25, 10.25, 10.25, 0, 0, 0, 0]);
  assert.deepEqual(plots.firstToken.p50, [null, null, 2, 2, 2, null, null, null, null, null]);
  assert.deepEqual(plots.interToken.p99, [null, null, null, null, null, null, 0.1, 0.1, 0.1, null]);
  assert.deepEqual(plots.hitRate, [null, null, 0.25, 0.25, 0.25, null, null, null, null, null]);
  assert.deepEqual(plots.busy, Array(10).fill(null));
});

test("Without requests, or of long ago, nothing is known", () => {
  assert.deepEqual(past([], 110, 7, 1, 600, 3).times, []);
  assert.equal(past([record({ created_at: 1 })], 5000, 0, 2, 600, 30).times.length, 300);
});
