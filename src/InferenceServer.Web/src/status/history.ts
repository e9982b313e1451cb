import { signal } from "@preact/signals";
import { explain } from "../api/client.ts";
import { getMetrics, recentRequests } from "../api/server.ts";
import type { RequestRecord } from "../api/types.ts";
import { Metrics, percentile, rate } from "./metrics.ts";
import { past } from "./past.ts";
import { judge, type Verdict } from "./verdict.ts";

const PollMs = 2000;
/** Requests in the table, and as many as the server remembers. */
const ShownRequests = 50;
const AllRequests = 256;
/** Ten minutes of scrapes. */
const Kept = 300;
/** Percentiles and shares look this many scrapes back: half a minute has enough requests to say something. */
const Window = 15;

/** A line of a plot: a value a scrape, null where there is none. */
export type Values = (number | null)[];

export interface Plots {
  times: number[];
  generated: Values;
  computed: Values;
  cached: Values;
  firstToken: Record<"p50" | "p90" | "p99", Values>;
  interToken: Record<"p50" | "p90" | "p99", Values>;
  running: Values;
  waiting: Values;
  cells: Record<"private" | "pinned" | "cached", Values>;
  capacity: number;
  hostBytes: Values;
  diskBytes: Values;
  hitRate: Values;
  busy: Values;
}

export interface MemoryUse {
  name: string;
  used: number;
  total: number | null;
}

export const plots = signal<Plots | null>(null);
export const verdict = signal<Verdict | null>(null);
export const memory = signal<MemoryUse[]>([]);
export const requests = signal<RequestRecord[]>([]);
export const statusError = signal<string | null>(null);

let scrapes: Metrics[] = [];
/** What is known of the time before the first scrape. */
let before: ReturnType<typeof past> | null = null;

/** Reads the server's numbers every other second until the function it gives is called. */
export function watch(): () => void {
  const abort = new AbortController();
  void (async () => {
    while (!abort.signal.aborted) {
      if (!document.hidden)
        await poll(abort.signal);
      await new Promise(resolve => setTimeout(resolve, PollMs));
    }
  })();
  return () => abort.abort();
}

async function poll(signal: AbortSignal): Promise<void> {
  const [metrics, recent] = await Promise.allSettled([getMetrics(signal), recentRequests(before === null ? AllRequests : ShownRequests, signal)]);
  if (signal.aborted)
    return;
  const time = performance.now() / 1000;
  if (recent.status === "fulfilled") {
    requests.value = recent.value.slice(0, ShownRequests);
    before ??= past(recent.value, Date.now() / 1000, time, PollMs / 1000, Kept * PollMs / 1000, Window * PollMs / 1000);
  }
  if (metrics.status === "fulfilled")
    take(new Metrics(metrics.value, time));
  const failed = [metrics, recent].find(one => one.status === "rejected");
  statusError.value = failed ? explain(failed.reason) : null;
}

function take(metrics: Metrics): void {
  scrapes = [...scrapes, metrics].slice(-Kept);
  const derived = derive(scrapes);
  plots.value = before === null ? derived : joined(before, derived);
  memory.value = memoryOf(metrics);
  const last = scrapes.at(-2) ?? metrics;
  const held = metrics.sum("inference_kv_cells", { state: "private" }) + metrics.sum("inference_kv_cells", { state: "pinned" });
  verdict.value = judge({
    up: metrics.sum("inference_engine_up") > 0,
    busy: plots.value.busy.at(-1) ?? 0,
    running: metrics.sum("inference_requests_running"),
    waiting: metrics.sum("inference_requests_waiting"),
    held: held / Math.max(1, metrics.sum("inference_kv_capacity_cells")),
    preemptions: rate(last, metrics, "inference_preemptions_total"),
  });
}

/** One series after the other, as long as the plots are. */
function joined(first: Omit<Plots, "capacity">, then: Plots): Plots {
  const join = <T>(one: T[], other: T[]): T[] => [...one, ...other].slice(-Kept);
  const lines = <K extends string>(one: Record<K, Values>, other: Record<K, Values>) =>
    Object.fromEntries(Object.keys(one).map(name => [name, join(one[name as K], other[name as K])])) as Record<K, Values>;
  return {
    capacity: then.capacity, times: join(first.times, then.times),
    generated: join(first.generated, then.generated), computed: join(first.computed, then.computed), cached: join(first.cached, then.cached),
    firstToken: lines(first.firstToken, then.firstToken), interToken: lines(first.interToken, then.interToken),
    running: join(first.running, then.running), waiting: join(first.waiting, then.waiting), cells: lines(first.cells, then.cells),
    hostBytes: join(first.hostBytes, then.hostBytes), diskBytes: join(first.diskBytes, then.diskBytes), hitRate: join(first.hitRate, then.hitRate), busy: join(first.busy, then.busy),
  };
}

/** What the plots show of a series of scrapes. */
export function derive(scrapes: readonly Metrics[]): Plots {
  const each = (value: (now: Metrics, last: Metrics | null, window: Metrics) => number | null): Values =>
    scrapes.map((now, index) => value(now, scrapes[index - 1] ?? null, scrapes[Math.max(0, index - Window)] ?? now));
  const perSecond = (name: string, labels?: Record<string, string>) => each((now, last) => last && rate(last, now, name, labels));
  const quantiles = (name: string) => ({
    p50: each((now, _, window) => percentile(window, now, name, 0.5)),
    p90: each((now, _, window) => percentile(window, now, name, 0.9)),
    p99: each((now, _, window) => percentile(window, now, name, 0.99)),
  });
  const cells = (state: string) => each(now => now.sum("inference_kv_cells", { state }));
  return {
    times: scrapes.map(one => one.time),
    generated: perSecond("inference_completion_tokens_total"),
    computed: perSecond("inference_prompt_tokens_total", { source: "computed" }),
    cached: perSecond("inference_prompt_tokens_total", { source: "cached" }),
    firstToken: quantiles("inference_time_to_first_token_seconds"),
    interToken: quantiles("inference_inter_token_seconds"),
    running: each(now => now.sum("inference_requests_running")),
    waiting: each(now => now.sum("inference_requests_waiting")),
    cells: { private: cells("private"), pinned: cells("pinned"), cached: cells("cached") },
    capacity: scrapes.at(-1)?.sum("inference_kv_capacity_cells") ?? 0,
    hostBytes: each(now => now.sum("inference_host_cache_bytes")),
    diskBytes: each(now => now.sum("inference_disk_cache_bytes")),
    hitRate: each((now, _, window) => {
      const [hit, missed] = ["cached", "computed"].map(source => rate(window, now, "inference_prompt_tokens_total", { source }));
      return (hit ?? 0) + (missed ?? 0) === 0 ? null : (hit ?? 0) / ((hit ?? 0) + (missed ?? 0));
    }),
    // Steps and what happens between them follow one another on one thread: their time is the engine's.
    busy: each((now, last) => last && Math.min(1, ["step", "operation", "sampling"].reduce((sum, part) => sum + rate(last, now, `inference_engine_${part}_seconds_total`), 0))),
  };
}

function memoryOf(metrics: Metrics): MemoryUse[] {
  const bytesOf = (metric: string, name: string) => metrics.series(metric).map(({ labels, value }) => ({ name: `${name} ${labels.model ?? ""}`, used: value, total: null }));
  const models = [...bytesOf("inference_model_bytes", "Weights of"), ...bytesOf("inference_kv_pool_bytes", "KV pool of")];
  const devices = metrics.series("inference_device_memory_bytes").filter(({ labels }) => labels.state === "total").map(({ labels, value }) => ({
    name: labels.device ?? "Device", total: value, used: value - metrics.sum("inference_device_memory_bytes", { ...labels, state: "free" }),
  }));
  const process = metrics.has("process_resident_memory_bytes") ? [{ name: "The server in RAM", used: metrics.sum("process_resident_memory_bytes"), total: null }] : [];
  return [...models, ...devices, ...process];
}
