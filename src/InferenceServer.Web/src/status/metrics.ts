/** The values of one scrape, in Prometheus' text format. */
export class Metrics {
  readonly #values = new Map<string, { labels: Record<string, string>; value: number }[]>();

  constructor(text: string, /** Seconds. */ readonly time: number) {
    for (const line of text.split("\n")) {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
      if (!match || line.startsWith("#"))
        continue;
      const [, name = "", labels = "", value = ""] = match;
      const number = value === "+Inf" ? Infinity : Number(value);
      if (Number.isNaN(number))
        continue;
      const known = this.#values.get(name) ?? [];
      known.push({ labels: readLabels(labels), value: number });
      this.#values.set(name, known);
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The sum over all series of this name that have these labels; 0 where there is none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    return (this.#values.get(name) ?? [])
      .filter(series => Object.entries(labels).every(([key, value]) => series.labels[key] === value))
      .reduce((total, series) => total + series.value, 0);
  }

  /** The series of this name, each with its labels. */
  series(name: string): readonly { labels: Record<string, string>; value: number }[] {
    return this.#values.get(name) ?? [];
  }

  /** A histogram's cumulative counts by their upper bounds, in order. */
  buckets(name: string): [bound: number, count: number][] {
    const sums = new Map<number, number>();
    for (const { labels, value } of this.series(`${name}_bucket`)) {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      sums.set(bound, (sums.get(bound) ?? 0) + value);
    }
    return [...sums].sort(([one], [other]) => one - other);
  }
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
    labels[name] = value.replace(/\\(.)/g, (_, escaped: string) => escaped === "n" ? "\n" : escaped);
  return labels;
}

/** A counter's growth between two scrapes, a second. A counter that fell belongs to a server that was started again: it counts from 0. */
export function rate(before: Metrics, after: Metrics, name: string, labels: Record<string, string> = {}): number {
  const seconds = after.time - before.time;
  const [from, to] = [before.sum(name, labels), after.sum(name, labels)];
  return seconds <= 0 ? 0 : (to < from ? to : to - from) / seconds;
}

/** The value below which this share of what a histogram counted between two scrapes lies, even within a bucket; null where it counted nothing. */
export function percentile(before: Metrics, after: Metrics, name: string, share: number): number | null {
  const earlier = new Map(before.buckets(name));
  const buckets = after.buckets(name);
  const total = buckets.at(-1)?.[1] ?? 0;
  const restarted = total < (before.buckets(name).at(-1)?.[1] ?? 0);
  const counts = buckets.map(([bound, count]) => [bound, restarted ? count : count - (earlier.get(bound) ?? 0)] as const);
  const all = counts.at(-1)?.[1] ?? 0;
  if (all <= 0)
    return null;
  const wanted = share * all;
  let [low, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= wanted)
      // Beyond the last bound nothing is known but that it is beyond.
      return bound === Infinity ? low : low + (bound - low) * (count === below ? 1 : (wanted - below) / (count - below));
    [low, below] = [bound, count];
  }
  return low;
}
