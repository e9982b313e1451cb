import { batch, signal } from "@preact/signals";
import { ApiError, explain } from "../api/client.ts";
import { cancelResponse, getResponse, resumeResponse, startResponse } from "../api/responses.ts";
import type { Item, ModelResponse, ResponseEvent, ResponseRequest } from "../api/types.ts";
import { reconnected } from "../store/connection.ts";
import { oncePerFrame } from "../store/frame.ts";
import { randomId } from "../ui/id.ts";

export type RunState = "sending" | "queued" | "running" | "reconnecting" | "completed" | "incomplete" | "failed" | "cancelled";

/** When things happened, in milliseconds of performance.now(). */
export interface RunTimes {
  sent: number;
  firstToken: number | null;
  lastToken: number | null;
}

export interface RunFailure {
  message: string;
  /** Seconds after which trying again makes sense; null where only the user can tell. */
  retryAfter: number | null;
  full: boolean;
}

export interface RunOwner {
  /** An item has begun, or is whole now. */
  put(item: Item): void;
  /** The run has ended; what there is of its output has been put. */
  ended(run: Run): void;
}

/** One reply while it is made: reads the events, survives lost connections, and stops on demand. */
export class Run {
  readonly state = signal<RunState>("sending");
  readonly failure = signal<RunFailure | null>(null);
  readonly tokens = signal(0);
  readonly response = signal<ModelResponse | null>(null);
  /** Milliseconds spent on reasoning so far. */
  readonly thought = signal(0);
  readonly times: RunTimes = { sent: performance.now(), firstToken: null, lastToken: null };
  id: string | null = null;
  /** The page came to it when it was under way. */
  resumed = false;

  readonly #owner: RunOwner;
  readonly #abort = new AbortController();
  readonly #pieces = new Map<string, { item: Item; parts: Map<number, string[]> }>();
  readonly #changed = new Set<string>();
  readonly #show = oncePerFrame(() => this.#flush());
  /** The server has the reply, too: it can be read again, and is stopped there. Else it is this stream, and ends with it. */
  #isKept = true;
  #sequence: number | null = null;
  #received = 0;
  #stopping = false;

  /** `parent` is the item that the reply hangs on. */
  constructor(readonly parent: string | null, owner: RunOwner) {
    this.#owner = owner;
  }

  get isLive(): boolean {
    return ["sending", "queued", "running", "reconnecting"].includes(this.state.value);
  }

  /** Asks for a reply and reads it to its end. Never throws: the state and the failure say what came of it. */
  async start(request: ResponseRequest): Promise<void> {
    const idempotencyKey = randomId();
    this.#isKept = request.store !== false;
    await this.#read(() => this.id === null
      ? startResponse(request, idempotencyKey, this.#abort.signal)
      : resumeResponse(this.id, this.#sequence, this.#abort.signal));
  }

  /** Reads a reply that the server is making already, from its beginning. */
  async resume(id: string): Promise<void> {
    this.id = id;
    this.resumed = true;
    await this.#read(() => resumeResponse(id, this.#sequence, this.#abort.signal));
  }

  /** Stops the engine. The events that follow end the run. */
  stop(): void {
    this.#stopping = true;
    if (!this.#isKept) {
      this.#abort.abort();
      this.#end("cancelled");
    } else if (this.id !== null)
      void cancelResponse(this.id).catch(() => this.#end("cancelled"));
    else if (this.state.value === "reconnecting")
      this.#end("cancelled");
  }

  /** Lets go of the events, and leaves the reply to the server. */
  leave(): void {
    this.#abort.abort();
  }

  async #read(open: () => AsyncGenerator<ResponseEvent>): Promise<void> {
    while (this.isLive) {
      try {
        for await (const event of open())
          this.#take(event);
        // A stream that ends without a last event was cut; or the server ended in the middle, and has only the end of it to tell.
        if (this.isLive && !await this.#isOver())
          await this.#wait();
      } catch (error) {
        if (this.#abort.signal.aborted)
          return;
        const isLost = (error instanceof ApiError && error.kind === "gone") || error instanceof TypeError || (error instanceof DOMException && error.name === "NetworkError");
        if (isLost && (this.#isKept || this.id === null))
          await this.#wait();
        else if (isLost)
          this.#fail("The connection broke. This server keeps no replies, so that the rest of this one is lost.", null, false);
        else if (error instanceof ApiError)
          this.#refuse(error);
        else
          throw error;
      }
    }
  }

  async #isOver(): Promise<boolean> {
    if (this.id === null)
      return false;
    if (!this.#isKept)
      throw new ApiError("gone", "The stream ended before the reply did.", 0);
    const response = await getResponse(this.id);
    if (response.status === "queued" || response.status === "in_progress")
      return false;
    this.#conclude(response.status, response);
    return true;
  }

  async #wait(): Promise<void> {
    this.state.value = "reconnecting";
    // Also where the connection broke and the server is still there: not at once again.
    await new Promise(resolve => setTimeout(resolve, 300));
    await reconnected();
  }

  #refuse(error: ApiError): void {
    const message = this.id !== null && error.status === 404
      ? "The server was started again while it made this reply, and the rest of it is lost."
      : explain(error);
    this.#fail(message, error.retryAfter, error.kind === "full");
  }

  #fail(message: string, retryAfter: number | null, full: boolean): void {
    this.failure.value = { message, retryAfter, full };
    this.#end("failed");
  }

  #take(event: ResponseEvent): void {
    // What a resumed stream repeats is known.
    if (this.#sequence !== null && event.sequence_number <= this.#sequence)
      return;
    this.#sequence = event.sequence_number;
    switch (event.type) {
      case "response.created":
        this.id = event.response.id;
        this.response.value = event.response;
        if (this.#stopping)
          this.stop();
        break;
      case "response.queued":
        this.state.value = "queued";
        break;
      case "response.in_progress":
        this.state.value = "running";
        break;
      case "response.output_item.added":
        this.#begin(event.item);
        break;
      case "response.output_text.delta":
      case "response.refusal.delta":
      case "response.reasoning_text.delta":
        this.#append(event.item_id, event.content_index, event.delta);
        break;
      case "response.reasoning_summary_text.delta":
        this.#append(event.item_id, event.summary_index, event.delta);
        break;
      case "response.function_call_arguments.delta":
        this.#append(event.item_id, 0, event.delta);
        break;
      case "response.output_item.done":
        this.#finish(event.item);
        break;
      case "response.completed": return this.#conclude("completed", event.response);
      case "response.incomplete": return this.#conclude("incomplete", event.response);
      case "response.cancelled": return this.#conclude("cancelled", event.response);
      case "response.failed": return this.#conclude("failed", event.response);
      case "error":
        if (event.code === "cancelled")
          return this.#end("cancelled");
        this.#fail(event.message, null, false);
        break;
    }
  }

  #begin(item: Item): void {
    this.#flush();
    this.#pieces.set(item.id, { item, parts: new Map() });
    this.#owner.put({ ...item, response_id: this.id });
  }

  #append(id: string, part: number, delta: string): void {
    const pieces = this.#pieces.get(id);
    if (!pieces)
      return;
    const now = performance.now();
    this.times.firstToken ??= now;
    if (pieces.item.type === "reasoning" && this.times.lastToken !== null)
      this.thought.value += now - this.times.lastToken;
    this.times.lastToken = now;
    this.#received++;
    const texts = pieces.parts.get(part);
    if (texts)
      texts.push(delta);
    else
      pieces.parts.set(part, [delta]);
    this.#changed.add(id);
    this.#show();
  }

  #finish(item: Item): void {
    this.#changed.delete(item.id);
    this.#pieces.set(item.id, { item, parts: new Map() });
    this.#owner.put({ ...item, response_id: this.id });
  }

  /** Shows all that came since the last frame at once. */
  #flush(): void {
    if (this.#changed.size === 0)
      return;
    batch(() => {
      for (const id of this.#changed) {
        const pieces = this.#pieces.get(id);
        if (!pieces)
          continue;
        // Pieces are joined once a frame; the whole text stands for them from then on.
        for (const [part, texts] of pieces.parts)
          pieces.parts.set(part, [texts.join("")]);
        this.#owner.put({ ...withText(pieces.item, [...pieces.parts.values()].map(texts => texts[0] ?? "")), response_id: this.id });
      }
      this.#changed.clear();
      this.tokens.value = this.#received;
    });
  }

  #conclude(state: "completed" | "incomplete" | "cancelled" | "failed", response: ModelResponse): void {
    this.#flush();
    this.response.value = response;
    for (const item of response.output)
      this.#finish(item);
    if (state === "failed")
      this.failure.value = { message: response.error?.message ?? "The server gave no reason.", retryAfter: null, full: false };
    this.#end(state);
  }

  #end(state: RunState): void {
    if (!this.isLive)
      return;
    this.#flush();
    this.state.value = state;
    this.#owner.ended(this);
  }
}

/** The item with these texts for its parts. */
function withText(item: Item, texts: string[]): Item {
  switch (item.type) {
    case "message": return { ...item, status: "in_progress", content: texts.map(text => ({ type: "output_text", text })) };
    case "reasoning": return { ...item, status: "in_progress", summary: [], content: texts.map(text => ({ type: "reasoning_text", text })) };
    case "function_call": return { ...item, status: "in_progress", arguments: texts.join("") };
    default: return item;
  }
}
