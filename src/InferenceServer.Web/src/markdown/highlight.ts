import script from "./highlight.worker.ts?worker&url";

/** A piece of a line, and the highlighter's class for it. */
export type Line = [text: string, className: string][];

export interface HighlightRequest {
  id: number;
  text: string;
  language: string;
}

export interface HighlightAnswer {
  id: number;
  /** Null where the language is not known. */
  lines: Line[] | null;
}

/** Longer code stays plain: colours do not help to read so much. */
const LongestCode = 200_000;

let worker: Promise<Worker | null> | null = null;
let next = 0;
const waiting = new Map<number, (lines: Line[] | null) => void>();

/** Colours code on a thread of its own. */
export async function highlight(text: string, language: string): Promise<Line[] | null> {
  if (language === "" || text.length > LongestCode)
    return null;
  const started = await (worker ??= start());
  if (!started)
    return null;
  const request: HighlightRequest = { id: next++, text, language };
  const { promise, resolve } = Promise.withResolvers<Line[] | null>();
  waiting.set(request.id, resolve);
  started.postMessage(request);
  return await promise;
}

/** The thread; null where its script is not the one that was built. */
async function start(): Promise<Worker | null> {
  // Browsers take no integrity for a worker's script. It is fetched with one first, and the worker gets the copy that the browser's cache then holds: such files never change.
  const map = document.querySelector("script[type=importmap]")?.textContent ?? "{}";
  const { integrity } = JSON.parse(map) as { integrity?: Record<string, string> };
  try {
    await (await fetch(script, { integrity: integrity?.[script] ?? "" })).arrayBuffer();
  } catch {
    return null;
  }
  const started = new Worker(script, { type: "module" });
  started.onmessage = ({ data }: MessageEvent<HighlightAnswer>) => {
    waiting.get(data.id)?.(data.lines);
    waiting.delete(data.id);
  };
  // Without its thread code stays plain.
  started.onerror = () => {
    waiting.forEach(resolve => resolve(null));
    waiting.clear();
  };
  return started;
}
