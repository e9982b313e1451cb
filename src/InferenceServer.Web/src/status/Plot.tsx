import { useId, useState } from "preact/hooks";
import type { Values } from "./history.ts";

export interface Line {
  name: string;
  values: Values;
}

interface Props {
  title: string;
  /** What it says, for those who do not know the term. */
  note: string;
  lines: Line[];
  times: number[];
  format: (value: number) => string;
  /** Where the axis ends at least. */
  atLeast?: number;
  /** Lines lie on one another, and the areas between them are filled. */
  stacked?: boolean;
}

const Width = 400;
const Height = 130;
/** Seconds that the plot spans: as many as there are, within these. */
const ShortestSpan = 60;
const LongestSpan = 600;

/** A plot of the last minutes. Its latest values stand beside the names, so that the lines are never the only source. */
export function Plot({ title, note, lines, times, format, atLeast = 0, stacked = false }: Props) {
  const id = useId();
  const [at, setAt] = useState<number | null>(null);
  const shown = stacked ? stack(lines) : lines;
  const top = niceTop(Math.max(atLeast, ...shown.flatMap(line => line.values.map(value => value ?? 0))));
  const end = times.at(-1) ?? 0;
  const span = Math.min(LongestSpan, Math.max(ShortestSpan, end - (times[0] ?? end)));
  const x = (time: number) => Width - (end - time) / span * Width;
  const y = (value: number) => Height - value / top * Height;
  const index = at ?? times.length - 1;
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const time = end - (1 - (event.clientX - box.left) / box.width) * span;
    setAt(nearest(times, time));
  };
  return (
    <figure class="plot" aria-labelledby={id}>
      <figcaption id={id}><strong>{title}</strong><small>{note}</small></figcaption>
      <ul class="legend">
        {lines.map((line, number) => {
          const value = line.values[index];
          return <li key={line.name}><span class={`swatch line-${number}`} />{line.name} <b>{value === null || value === undefined ? "–" : format(value)}</b></li>;
        })}
      </ul>
      <div class="plot-area">
        <span class="plot-top">{format(top)}</span>
        <svg viewBox={`0 0 ${Width} ${Height}`} preserveAspectRatio="none" aria-hidden="true" onPointerMove={point} onPointerLeave={() => setAt(null)}>
          {[0, 0.5].map(share => <line key={share} class="grid" x1={0} x2={Width} y1={Height * share} y2={Height * share} />)}
          {shown.map((line, number) => {
            const path = toPath(line.values, times, x, y);
            return (
              <g key={line.name} class={`line-${number}`}>
                {stacked && path !== "" && <path class="area" d={`${path}L${Width},${Height}L${x(times[0] ?? 0)},${Height}Z`} />}
                <path class="stroke" d={path} />
              </g>
            );
          }).reverse()}
          {at !== null && <line class="cursor" x1={x(times[at] ?? 0)} x2={x(times[at] ?? 0)} y1={0} y2={Height} />}
        </svg>
        <span class="plot-time">{at === null ? "now" : `${Math.round(end - (times[at] ?? 0))} s ago`}</span>
      </div>
    </figure>
  );
}

function toPath(values: Values, times: number[], x: (time: number) => number, y: (value: number) => number): string {
  let path = "";
  let gap = true;
  values.forEach((value, index) => {
    if (value === null) {
      gap = true;
      return;
    }
    path += `${gap ? "M" : "L"}${x(times[index] ?? 0).toFixed(1)},${y(value).toFixed(1)}`;
    gap = false;
  });
  return path;
}

function stack(lines: Line[]): Line[] {
  const sums: number[] = [];
  return lines.map(line => ({ name: line.name, values: line.values.map((value, index) => sums[index] = (sums[index] ?? 0) + (value ?? 0)) }));
}

/** The next round number above: 1, 2 or 5 times a power of ten. */
export function niceTop(value: number): number {
  if (value <= 0)
    return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find(step => step * power >= value) ?? 10) * power;
}

function nearest(times: number[], wanted: number): number | null {
  let best: number | null = null;
  times.forEach((time, index) => {
    if (best === null || Math.abs(time - wanted) < Math.abs((times[best] ?? 0) - wanted))
      best = index;
  });
  return best;
}
