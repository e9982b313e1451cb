import type { RequestRecord } from "../api/types.ts";
import type { Plots, Values } from "./history.ts";

/** A request's way in seconds of the server's clock. */
interface Course {
  begun: number;
  admitted: number;
  firstToken: number;
  ended: number;
  computed: number;
  cached: number;
  generated: number;
}

/**
 * The plots of a time that nobody watched, from the requests that the server remembers: one value every `step` seconds from the oldest of them, at most
 * `span` seconds, until `now` (of the server's clock; `time` on the plots'). What requests do not tell is null.
 */
export function past(records: readonly RequestRecord[], now: number, time: number, step: number, span: number, window: number): Omit<Plots, "capacity"> {
  const courses = records.flatMap(courseOf);
  const from = Math.max(now - span, Math.min(now, ...courses.map(one => one.begun)));
  const moments: number[] = [];
  for (let moment = now - step; moment >= from; moment -= step)
    moments.unshift(moment);
  const each = (value: (moment: number) => number | null): Values => moments.map(value);
  const nothing = each(() => null);
  const during = (moment: number, begin: keyof Course, end: keyof Course) => courses.filter(one => one[begin] <= moment && moment < one[end]);
  const perSecond = (tokens: keyof Course, begin: keyof Course, end: keyof Course) =>
    each(moment => during(moment, begin, end).reduce((sum, one) => sum + one[tokens] / (one[end] - one[begin]), 0));
  const recent = (moment: number, when: keyof Course) => courses.filter(one => moment - window < one[when] && one[when] <= moment);
  const quantiles = (when: keyof Course, measure: (one: Course) => number | null) => {
    const at = (share: number) => each(moment => quantile(recent(moment, when).flatMap(one => measure(one) ?? []), share));
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
  };
  return {
    times: moments.map(moment => time + moment - now),
    generated: perSecond("generated", "firstToken", "ended"),
    computed: perSecond("computed", "admitted", "firstToken"),
    cached: perSecond("cached", "admitted", "firstToken"),
    firstToken: quantiles("firstToken", one => one.firstToken - one.begun),
    interToken: quantiles("ended", one => one.generated > 1 ? (one.ended - one.firstToken) / (one.generated - 1) : null),
    running: each(moment => during(moment, "admitted", "ended").length),
    waiting: each(moment => during(moment, "begun", "admitted").length),
    cells: { private: nothing, pinned: nothing, cached: nothing },
    hostBytes: nothing,
    diskBytes: nothing,
    hitRate: each(moment => {
      const known = recent(moment, "firstToken");
      const [cached, computed] = [known.reduce((sum, one) => sum + one.cached, 0), known.reduce((sum, one) => sum + one.computed, 0)];
      return cached + computed === 0 ? null : cached / (cached + computed);
    }),
    busy: nothing,
  };
}

/** Of a request that came to its first token; others had no share in what is plotted. */
function courseOf(record: RequestRecord): Course[] {
  const { created_at: begun, queue_ms: queue, first_token_ms: first, total_ms: total, prompt_tokens: prompt, cached_tokens: cached, completion_tokens: generated } = record;
  if (first === null || total === null || prompt === null)
    return [];
  return [{
    begun, admitted: begun + (queue ?? 0) / 1000, firstToken: begun + first / 1000, ended: begun + total / 1000,
    computed: prompt - (cached ?? 0), cached: cached ?? 0, generated: generated ?? 0,
  }];
}

function quantile(values: number[], share: number): number | null {
  const sorted = values.sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}
