import { askForKey, key } from "./key.ts";

/** Why a request came to nothing, in the page's own terms. */
export type FailureKind =
  /** No answer came: the server is not there, or the connection broke. */
  | "gone"
  /** The server is there and its model is not ready. */
  | "loading"
  /** The queue holds as many requests as it may. */
  | "full"
  /** The server says what is wrong with the request. */
  | "refused"
  /** The server failed. */
  | "failed";

export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly status: number,
    readonly code: string | null = null,
    /** Seconds that the server asks to wait. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

export interface Call {
  method?: "GET" | "POST" | "DELETE";
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

type Listener = (answered: boolean) => void;
const listeners = new Set<Listener>();

/** Calls back after every request with whether the server answered at all. */
export function onAnswer(listener: Listener): void {
  listeners.add(listener);
}

/** Sends a request with the key and gives the answer, asking for a key where the server wants one. Throws an ApiError for every answer that is none. */
export async function fetchApi(path: string, call: Call = {}): Promise<Response> {
  for (;;) {
    const sent = key.value;
    const headers: Record<string, string> = { ...call.headers };
    if (sent !== "")
      headers.authorization = `Bearer ${sent}`;
    if (call.body !== undefined)
      headers["content-type"] = "application/json";
    const init: RequestInit = { method: call.method ?? (call.body === undefined ? "GET" : "POST"), headers };
    if (call.body !== undefined)
      init.body = typeof call.body === "string" ? call.body : JSON.stringify(call.body);
    if (call.signal)
      init.signal = call.signal;
    let answer: Response;
    try {
      answer = await fetch(path, init);
    } catch (error) {
      if (call.signal?.aborted)
        throw error;
      listeners.forEach(listener => listener(false));
      throw new ApiError("gone", "The server does not answer.", 0);
    }
    listeners.forEach(listener => listener(true));
    if (answer.ok)
      return answer;
    if (answer.status !== 401)
      throw await readError(answer);
    await answer.body?.cancel();
    await askForKey(sent);
  }
}

export async function fetchJson<T>(path: string, call: Call = {}): Promise<T> {
  return await (await fetchApi(path, call)).json() as T;
}

async function readError(answer: Response): Promise<ApiError> {
  const text = await answer.text();
  let message = text.slice(0, 500) || `The server answered ${answer.status}.`;
  let code: string | null = null;
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string; code?: string | null } | string };
    if (typeof error === "string")
      message = error;
    else if (error?.message)
      [message, code] = [error.message, error.code ?? null];
  } catch {
    // A proxy's page, not the server's JSON: its text stands.
  }
  const wait = Number(answer.headers.get("retry-after") ?? Number.NaN);
  return new ApiError(kindOf(answer.status), message, answer.status, code, Number.isFinite(wait) ? wait : null);
}

function kindOf(status: number): FailureKind {
  switch (status) {
    case 429: return "full";
    case 503: return "loading";
    // What a proxy says whose server is not there.
    case 502: case 504: return "gone";
    default: return status < 500 ? "refused" : "failed";
  }
}

/** The words for a failure that a user reads. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError))
    return error instanceof Error ? error.message : String(error);
  switch (error.kind) {
    case "gone": return "The server does not answer. It may have stopped, or the connection broke.";
    case "loading": return `The server is not ready yet: ${error.message}`;
    case "full": return `The server is full. ${error.message}`;
    case "refused": return error.message;
    case "failed": return `The server failed: ${error.message}`;
  }
}
