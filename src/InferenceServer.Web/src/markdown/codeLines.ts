import { highlight, type Line } from "./highlight.ts";

/** Milliseconds that colouring may take of a frame. */
const SliceMs = 6;
/** Code that grows is coloured again after so long, and after so many times what the last colouring took: the engine wants the processor, too. */
const PauseMs = 150;
const PauseTimes = 3;

/** The lines of a code block on the screen. Text that grows costs only its new lines; colours come when the highlighter has them. */
export class CodeLines {
  readonly #element: HTMLElement;
  #text = "";
  #language = "";
  /** For each line the text on the screen, and whether it has its colours. */
  #shown: { text: string; key: string }[] = [];
  #colouring = false;

  constructor(element: HTMLElement) {
    this.#element = element;
  }

  show(text: string, language: string): void {
    if (!text.startsWith(this.#text) || language !== this.#language) {
      this.#element.replaceChildren();
      this.#shown = [];
      this.#text = "";
      this.#language = language;
    }
    const first = Math.max(0, this.#shown.length - 1);
    const from = this.#text.lastIndexOf("\n") + 1;
    this.#text = text;
    text.slice(from).split("\n").forEach((line, index) => this.#setPlain(first + index, line));
    void this.#colour();
  }

  #setPlain(index: number, text: string): void {
    const known = this.#shown[index];
    if (known?.text === text)
      return;
    this.#lineAt(index).replaceChildren(`${text}\n`);
    this.#shown[index] = { text, key: "" };
  }

  async #colour(): Promise<void> {
    if (this.#colouring)
      return;
    this.#colouring = true;
    for (let coloured = ""; coloured !== this.#text;) {
      const since = performance.now();
      coloured = this.#text;
      const lines = await highlight(coloured, this.#language);
      if (lines === null)
        break;
      await this.#setColours(lines);
      await new Promise(resolve => setTimeout(resolve, Math.max(PauseMs, PauseTimes * (performance.now() - since))));
    }
    this.#colouring = false;
  }

  async #setColours(lines: Line[]): Promise<void> {
    let since = performance.now();
    for (const [index, line] of lines.entries()) {
      const known = this.#shown[index];
      const text = line.map(([part]) => part).join("");
      const key = JSON.stringify(line);
      if (!known || known.text !== text || known.key === key)
        continue;
      this.#lineAt(index).replaceChildren(...line.map(([part, className]) => toNode(part, className)), "\n");
      known.key = key;
      if (performance.now() - since > SliceMs) {
        await new Promise(resolve => setTimeout(resolve));
        since = performance.now();
      }
    }
  }

  #lineAt(index: number): Element {
    let line = this.#element.children[index];
    if (!line) {
      line = document.createElement("span");
      line.className = "line";
      this.#element.append(line);
    }
    return line;
  }
}

function toNode(text: string, className: string): Node | string {
  if (className === "")
    return text;
  const span = document.createElement("span");
  span.className = className;
  span.textContent = text;
  return span;
}
