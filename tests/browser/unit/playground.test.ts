import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiDescription } from "../../../src/InferenceServer.Web/src/playground/openapi.ts";
import { replyText } from "../../../src/InferenceServer.Web/src/playground/replyText.ts";
import { toCSharp, toCurl, toPython } from "../../../src/InferenceServer.Web/src/playground/snippets.ts";

const call = { url: "http://127.0.0.1:8080/v1/x", method: "POST", body: "{\"text\": \"it's \\\"\\\"\\\" here\", \"on\": true, \"none\": null, \"list\": [1]}", keyed: true };

test("A shell gets quotes as they are", () => {
  const curl = toCurl(call);
  assert.match(curl, /-d '\{"text": "it'\\''s /);
  assert.match(curl, /authorization: Bearer \$INFERENCE_SERVER_API_KEY/);
  assert.equal(toCurl({ url: "http://h/x", method: "DELETE", body: null, keyed: false }), "curl -N 'http://h/x' \\\n  -X DELETE");
});

test("Python gets its own constants", () => {
  const python = toPython(call);
  assert.match(python, /"on": True/);
  assert.match(python, /"none": None/);
  assert.match(python, /requests\.post\("http:\/\/127\.0\.0\.1:8080\/v1\/x"/);
  assert.match(toPython({ ...call, body: "{\"stream\": true}" }), /stream=True/);
});

test("A C# text has more quotes around it than any in it", () => {
  assert.match(toCSharp({ ...call, body: "{\"a\": \"\"\"\"}" }), /StringContent\(""""""?\n/);
  assert.match(toCSharp({ ...call, body: "{\"stream\":true}" }), /ResponseHeadersRead/);
});

test("The words of a reply are found in every dialect", () => {
  for (const value of [
    { choices: [{ index: 0, delta: { content: "x" } }] }, { choices: [{ index: 0, message: { content: "x" } }] }, { choices: [{ index: 0, text: "x" }] },
    { type: "response.output_text.delta", delta: "x" }, { type: "content_block_delta", delta: { type: "text_delta", text: "x" } },
    { object: "response", output: [{ type: "reasoning" }, { type: "message", content: [{ text: "x" }] }] }, { message: { content: "x" } }, { response: "x" },
  ])
    assert.equal(replyText(value), "x", JSON.stringify(value));
  assert.equal(replyText(null), "");
  assert.equal(replyText({ data: [] }), "");
});

test("An endpoint has the example and the fields of its body", () => {
  const description = new ApiDescription({
    paths: { "/x": { post: { tags: ["T"], summary: "S", requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/X" }, example: { model: "m" } } } } } } },
    components: { schemas: {
      X: { type: "object", required: ["model", "list", "kind"], properties: { model: { type: "string" }, list: { type: "array", items: { $ref: "#/components/schemas/Y" } }, kind: { enum: ["a", "b"], type: "string" }, free: { type: "string", description: "Free." } } },
      Y: { type: "object", required: ["n"], properties: { n: { type: ["null", "integer"], minimum: 2 }, self: { $ref: "#/components/schemas/Y" } } },
    } },
  });
  const [endpoint] = description.endpoints;
  assert.equal(endpoint?.id, "POST /x");
  assert.deepEqual(endpoint?.sample, { model: "m" });
  assert.ok(description.fields(endpoint?.body ?? {}).some(field => field.path === "free" && field.note === "Free."));
});
