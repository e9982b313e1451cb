import { signal } from "@preact/signals";

const words = signal("");

/** Has screen readers say this, politely. Said are events, never the text of a reply as it comes. */
export function announce(text: string): void {
  // The same words again are said again only if the region changes.
  words.value = words.peek() === text ? `${text}\u00a0` : text;
}

export function Announcer() {
  return <div class="visually-hidden" role="status" aria-live="polite">{words.value}</div>;
}
