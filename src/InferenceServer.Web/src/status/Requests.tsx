import type { RequestRecord } from "../api/types.ts";
import { explainCache } from "../chat/numbers.ts";
import { count, duration, percent, short, timeOfDay } from "../ui/format.ts";
import { requests } from "./history.ts";

/** The latest requests of this key, with where their time went and why their prompts were not in the cache. */
export function Requests() {
  return (
    <section aria-label="Recent requests">
      <h2>Recent requests</h2>
      {requests.value.length === 0 ? <p class="notice">There were none yet.</p> : (
        <div class="table requests" tabIndex={0} role="region" aria-label="Recent requests, a table">
          <table>
            <thead><tr>{["Time", "Endpoint", "Outcome", "Prompt", "From cache", "Why not more", "Reply", "In line", "Prompt took", "First token", "Reply took", "Speed"].map(name => <th key={name} scope="col">{name}</th>)}</tr></thead>
            <tbody>{requests.value.map(request => <Row key={request.id} request={request} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ request }: { request: RequestRecord }) {
  const { cached_tokens: cached, completion_tokens: reply, decode_ms: decode } = request;
  // What was refused had no prompt yet.
  const prompt = request.prompt_tokens || null;
  const ms = (value: number | null) => value === null ? "–" : duration(value);
  return (
    <tr class={`outcome-${request.outcome}`}>
      <td>{timeOfDay(request.created_at)}</td>
      <td><code>{request.endpoint}</code></td>
      <td>{request.outcome.replaceAll("_", " ")}{request.status !== null && request.status >= 400 ? ` (${request.status})` : ""}{request.preemptions ? `, made room ${request.preemptions}×` : ""}</td>
      <td>{prompt === null ? "–" : count(prompt)}</td>
      <td>{prompt === null || cached === null ? "–" : percent(cached / prompt)}</td>
      <td class="why">{request.cache?.reason ? explainCache(request.cache.reason) : "–"}</td>
      <td>{reply === null || prompt === null ? "–" : count(reply)}</td>
      <td>{request.queue_position === null ? ms(request.queue_ms) : `place ${request.queue_position}`}</td>
      <td>{ms(request.prefill_ms)}</td>
      <td>{ms(request.first_token_ms)}</td>
      <td>{ms(decode)}</td>
      <td>{reply !== null && decode !== null && decode > 0 && reply > 1 ? `${short((reply - 1) / decode * 1000)}/s` : "–"}</td>
    </tr>
  );
}
