import { useEffect } from "preact/hooks";
import { health, refreshHealth } from "../store/connection.ts";
import { PageHead } from "../ui/PageHead.tsx";
import { bytes, count, duration, percent, short } from "../ui/format.ts";
import { memory, plots, statusError, verdict, watch, type MemoryUse } from "./history.ts";
import { Plot } from "./Plot.tsx";
import { Requests } from "./Requests.tsx";

const perSecond = (value: number) => `${short(value)}/s`;
const seconds = (value: number) => duration(1000 * value);

export function StatusPage() {
  useEffect(() => {
    void refreshHealth().catch(() => null);
    return watch();
  }, []);
  return (
    <main class="page-main" id="main" tabIndex={0}>
      <PageHead title="Status">{health.value && <small>{health.value.model} · {health.value.backend.split(":")[0]} · version {health.value.version} · up for {uptime(health.value.uptime_seconds)}</small>}</PageHead>
      {statusError.value !== null && <p class="notice failed" role="alert">{statusError.value}</p>}
      <Glance />
      <Plots />
      <Memory />
      <Requests />
    </main>
  );
}

function Glance() {
  const judged = verdict.value;
  const values = plots.value;
  if (!judged || !values)
    return <p class="notice"><span class="pulse" />Reading the first numbers…</p>;
  const latest = (line: (number | null)[]) => line.at(-1) ?? 0;
  return (
    <section class={`glance ${judged.level}`} aria-label="At a glance">
      <div class="glance-words"><h2>{judged.title}</h2><p>{judged.words}</p></div>
      <dl>
        <div><dt>Generating</dt><dd>{short(latest(values.generated))}<small> tokens/s</small></dd></div>
        <div><dt>Running</dt><dd>{count(latest(values.running))}</dd></div>
        <div><dt>Waiting</dt><dd>{count(latest(values.waiting))}</dd></div>
        <div><dt>Computing</dt><dd>{percent(latest(values.busy))}<small> of the time</small></dd></div>
      </dl>
    </section>
  );
}

function Plots() {
  const values = plots.value;
  if (!values)
    return null;
  const { times } = values;
  const quantiles = (of: Record<"p50" | "p90" | "p99", (number | null)[]>) => [
    { name: "half below", values: of.p50 }, { name: "90% below", values: of.p90 }, { name: "99% below", values: of.p99 },
  ];
  return (
    <section class="plots" aria-label="The last ten minutes, before this page was opened as far as your own requests tell">
      <Plot title="Throughput" note="Tokens a second" times={times} format={perSecond} lines={[
        { name: "generated", values: values.generated }, { name: "prompt, computed", values: values.computed }, { name: "prompt, from cache", values: values.cached },
      ]} />
      <Plot title="Time to first token" note="Over the last half minute" times={times} format={seconds} lines={quantiles(values.firstToken)} />
      <Plot title="Between two tokens" note="Of one reply, over the last half minute" times={times} format={seconds} lines={quantiles(values.interToken)} />
      <Plot title="Requests" note="That hold a sequence, and in line" times={times} format={count} atLeast={4} lines={[
        { name: "running", values: values.running }, { name: "waiting", values: values.waiting },
      ]} />
      <Plot title="KV pool" note={`Of ${count(values.capacity)} cells, one a token`} times={times} format={count} atLeast={values.capacity} stacked lines={[
        { name: "running requests", values: values.cells.private }, { name: "shared with them", values: values.cells.pinned }, { name: "cache", values: values.cells.cached },
      ]} />
      <Plot title="Cache below the pool" note="Evicted prefixes" times={times} format={bytes} atLeast={1 << 20} lines={[
        { name: "host memory", values: values.hostBytes }, { name: "disk", values: values.diskBytes },
      ]} />
      <Plot title="Hit rate" note="Prompt tokens from the cache, over the last half minute" times={times} format={percent} atLeast={1} lines={[{ name: "from cache", values: values.hitRate }]} />
      <Plot title="Computing" note="Share of the time that the engine works" times={times} format={percent} atLeast={1} lines={[{ name: "busy", values: values.busy }]} />
    </section>
  );
}

function Memory() {
  if (memory.value.length === 0)
    return null;
  return <section class="memory" aria-label="Memory"><h2>Memory</h2><ul>{memory.value.map(use => <Use key={use.name} use={use} />)}</ul></section>;
}

function Use({ use }: { use: MemoryUse }) {
  return (
    <li>
      <span>{use.name}</span>
      {use.total !== null && <meter min={0} max={use.total} value={use.used} aria-label={use.name} />}
      <b>{bytes(use.used)}{use.total !== null && ` of ${bytes(use.total)}`}</b>
    </li>
  );
}

function uptime(inSeconds: number): string {
  const hours = Math.floor(inSeconds / 3600);
  return hours >= 48 ? `${Math.floor(hours / 24)} days` : hours > 0 ? `${hours} h ${Math.floor(inSeconds / 60) % 60} min` : `${Math.max(1, Math.floor(inSeconds / 60))} min`;
}
