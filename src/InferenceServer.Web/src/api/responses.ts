import { fetchApi, fetchJson } from "./client.ts";
import { readEvents } from "./sse.ts";
import type { ConversationInfo, Item, ModelResponse, ResponseEvent, ResponseRequest, Usage } from "./types.ts";

const path = (id: string) => `/v1/responses/${encodeURIComponent(id)}`;

/**
 * Begins a response and gives its events: in the background, or, where nothing is to be stored, as long as somebody listens.
 * The same key twice is the same response, so a broken call can be sent again.
 */
export async function* startResponse(request: ResponseRequest, idempotencyKey: string, signal: AbortSignal): AsyncGenerator<ResponseEvent> {
  const answer = await fetchApi("/v1/responses", {
    body: { ...request, background: request.store !== false, stream: true }, headers: { "Idempotency-Key": idempotencyKey }, signal,
  });
  yield* eventsOf(answer);
}

/** The events of a response that runs in the background, after the one with this number. */
export async function* resumeResponse(id: string, after: number | null, signal: AbortSignal): AsyncGenerator<ResponseEvent> {
  const from = after === null ? "" : `&starting_after=${after}`;
  yield* eventsOf(await fetchApi(`${path(id)}?stream=true${from}`, { signal }));
}

async function* eventsOf(answer: Response): AsyncGenerator<ResponseEvent> {
  if (answer.body === null)
    return;
  for await (const event of readEvents(answer.body)) {
    if (event.data !== "[DONE]")
      yield JSON.parse(event.data) as ResponseEvent;
  }
}

/** A whole response in one answer. */
export function createResponse(request: ResponseRequest, signal?: AbortSignal): Promise<ModelResponse> {
  return fetchJson("/v1/responses", { body: request, signal });
}

export function getResponse(id: string): Promise<ModelResponse> {
  return fetchJson(path(id));
}

export function cancelResponse(id: string): Promise<ModelResponse> {
  return fetchJson(`${path(id)}/cancel`, { method: "POST" });
}

/** How many tokens the prompt of this request would have. */
export async function countTokens(request: ResponseRequest, signal?: AbortSignal): Promise<number> {
  return (await fetchJson<{ input_tokens: number }>("/v1/responses/input_tokens", { body: request, signal })).input_tokens;
}

/** The items that stand for a longer history: the model's summary, and what is kept beside it. */
export function compact(request: ResponseRequest, signal?: AbortSignal): Promise<{ output: Item[]; usage: Usage }> {
  return fetchJson("/v1/responses/compact", { body: request, signal });
}

/** Whether a conversation has responses that are still being made. */
export const runningOf = (conversation: ConversationInfo): string[] => conversation.running ?? [];
