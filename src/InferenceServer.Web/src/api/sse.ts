export interface ServerEvent {
  event: string;
  data: string;
}

/** The events of a text/event-stream body, in order. Ends with the stream; throws what reading it throws. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void, void> {
  const parser = new EventParser();
  for await (const text of body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>))
    yield* parser.push(text);
}

/** Puts lines together that arrive in any pieces. */
export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];

  *push(text: string): Generator<ServerEvent, void, void> {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== "") {
        this.#take(line);
        continue;
      }
      if (this.#data.length > 0)
        yield { event: this.#event || "message", data: this.#data.join("\n") };
      this.#event = "";
      this.#data = [];
    }
  }

  #take(line: string): void {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event")
      this.#event = value;
    else if (field === "data")
      this.#data.push(value);
  }
}
