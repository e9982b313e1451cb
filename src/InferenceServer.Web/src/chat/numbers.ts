import type { CacheReport, ModelResponse } from "../api/types.ts";
import { count, duration, percent, plural, short } from "../ui/format.ts";

/** What a finished reply cost. Rates are tokens a second, times milliseconds. */
export interface ReplyNumbers {
  promptTokens: number;
  cachedShare: number;
  replyTokens: number;
  reasoningTokens: number;
  perSecond: number | null;
  firstTokenMs: number | null;
  queueMs: number | null;
  prefillMs: number | null;
  decodeMs: number | null;
  meanBatch: number | null;
  cache: CacheReport | null;
}

export function numbersOf(response: ModelResponse): ReplyNumbers | null {
  const { usage, timing } = response;
  if (!usage)
    return null;
  const decoded = usage.output_tokens - 1;
  return {
    promptTokens: usage.input_tokens,
    cachedShare: usage.input_tokens === 0 ? 0 : usage.input_tokens_details.cached_tokens / usage.input_tokens,
    replyTokens: usage.output_tokens,
    reasoningTokens: usage.output_tokens_details.reasoning_tokens,
    // The first token comes with the prompt; the time of decoding is that of the others.
    perSecond: timing && timing.decode_ms > 0 && decoded > 0 ? decoded / timing.decode_ms * 1000 : null,
    firstTokenMs: timing ? timing.queue_ms + timing.prefill_ms : null,
    queueMs: timing?.queue_ms ?? null,
    prefillMs: timing?.prefill_ms ?? null,
    decodeMs: timing?.decode_ms ?? null,
    meanBatch: timing?.mean_batch ?? null,
    cache: response.x_cache ?? null,
  };
}

/** One line of the numbers that matter most. */
export function summarize(numbers: ReplyNumbers): string {
  const parts = [plural(numbers.replyTokens, "token")];
  if (numbers.perSecond !== null)
    parts.push(`${short(numbers.perSecond)} tokens/s`);
  if (numbers.firstTokenMs !== null)
    parts.push(`first token after ${duration(numbers.firstTokenMs)}`);
  parts.push(`${percent(numbers.cachedShare)} of ${count(numbers.promptTokens)} prompt tokens from the cache`);
  return parts.join(" · ");
}

const Reasons: Readonly<Record<string, string>> = {
  diverged: "Earlier requests were the same up to there, and differ from there on.",
  end_of_entry: "The cached text ended there.",
  nothing_cached: "Nothing that begins alike was in the cache.",
  evicted: "It had been in the cache and made room for other requests.",
  not_restored: "It was saved, and computing it again was quicker than bringing it back.",
  last_checkpoint: "This kind of model can go on only from saved points.",
  not_shareable: "This model's state cannot be shared between requests.",
};

/** Why no more of the prompt came from the cache. */
export const explainCache = (reason: string): string => Reasons[reason] ?? reason.replaceAll("_", " ");
