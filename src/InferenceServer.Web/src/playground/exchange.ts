import { signal } from "@preact/signals";
import { ApiError, explain, fetchApi } from "../api/client.ts";
import { EventParser } from "../api/sse.ts";
import { oncePerFrame } from "../store/frame.ts";
import { pretty } from "../chat/json.ts";
import { replyText } from "./replyText.ts";

/** Characters of a raw stream that the page keeps; of longer ones the end. */
const MostRaw = 400_000;

export interface Answer {
  state: "running" | "done" | "failed";
  status: number;
  headers: [string, string][];
  /** What came over the wire. */
  raw: string;
  /** The words of the reply. */
  text: string;
  milliseconds: number;
  firstByteMs: number | null;
  error: string | null;
}

export const answer = signal<Answer | null>(null);

let abort: AbortController | null = null;

export const stop = (): void => abort?.abort();

/** Sends a call and shows its answer as it comes. */
export async function send(path: string, method: "GET" | "POST" | "DELETE", body: string | null): Promise<void> {
  stop();
  const own = abort = new AbortController();
  const started = performance.now();
  let current: Answer = { state: "running", status: 0, headers: [], raw: "", text: "", milliseconds: 0, firstByteMs: null, error: null };
  const show = oncePerFrame(() => {
    if (abort === own)
      answer.value = { ...current, milliseconds: performance.now() - started };
  });
  const change = (part: Partial<Answer>) => {
    current = { ...current, ...part };
    show();
  };
  change({});
  try {
    const response = await fetchApi(path, { method, ...(body === null ? {} : { body }), signal: own.signal });
    change({ status: response.status, headers: [...response.headers] });
    const reader = readerFor(response.headers.get("content-type") ?? "");
    if (response.body) {
      for await (const piece of response.body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)) {
        change({
          raw: (current.raw + piece).slice(-MostRaw), text: current.text + reader.push(piece), firstByteMs: current.firstByteMs ?? performance.now() - started,
        });
      }
    }
    change({ state: "done", text: current.text + reader.end() });
  } catch (error) {
    if (own.signal.aborted)
      change({ state: "done", error: "You stopped it." });
    else
      change({ state: "failed", error: explain(error), status: error instanceof ApiError ? error.status : 0 });
  }
}

interface Reader {
  push(piece: string): string;
  end(): string;
}

function readerFor(contentType: string): Reader {
  if (contentType.includes("event-stream")) {
    const parser = new EventParser();
    return { push: piece => [...parser.push(piece)].map(event => replyText(parse(event.data))).join(""), end: () => "" };
  }
  let rest = "";
  const lines = contentType.includes("ndjson");
  return {
    push(piece) {
      rest += piece;
      if (!lines)
        return "";
      const whole = rest.split("\n");
      rest = whole.pop() ?? "";
      return whole.map(line => replyText(parse(line))).join("");
    },
    // An answer in one piece: its words, or all of it where it has none.
    end: () => replyText(parse(rest)) || (lines || !pretty(rest) ? "" : `\`\`\`json\n${pretty(rest)}\n\`\`\``),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // "[DONE]", or a line that is still to be completed.
    return null;
  }
}
