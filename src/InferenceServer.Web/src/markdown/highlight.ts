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

let worker: Worker | null = null;
let next = 0;
const waiting = new Map<number, (lines: Line[] | null) => void>();

/** Colours code on a thread of its own. */
export function highlight(text: string, language: string): Promise<Line[] | null> {
  if (language === "" || text.length > LongestCode)
    return Promise.resolve(null);
  worker ??= start();
  const request: HighlightRequest = { id: next++, text, language };
  const { promise, resolve } = Promise.withResolvers<Line[] | null>();
  waiting.set(request.id, resolve);
  worker.postMessage(request);
  return promise;
}

function start(): Worker {
  const started = new Worker(new URL("./highlight.worker.ts", import.meta.url), { type: "module" });
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
