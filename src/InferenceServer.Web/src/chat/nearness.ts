import { signal, type Signal } from "@preact/signals";
import { createContext } from "preact";

/** Pixels beyond the window's edges that count as near: about two screens. */
const Margin = 1600;

/** Says of a turn whether it has been near the window. */
export type NearnessOf = (turn: string) => Signal<boolean>;

export const Nearness = createContext<NearnessOf>(() => signal(true));

/** Watches the turns of a scrolled list, which name themselves in data-item. */
export class NearnessWatcher {
  readonly #signals = new Map<string, Signal<boolean>>();
  #observer: IntersectionObserver | null = null;

  readonly of: NearnessOf = id => {
    let near = this.#signals.get(id);
    if (!near)
      this.#signals.set(id, near = signal(false));
    return near;
  };

  /** Begins to watch these turns of a scroller; those that were near already stay so. */
  watch(scroller: Element, turns: Iterable<Element>): void {
    this.#observer ??= new IntersectionObserver(entries => {
      for (const entry of entries) {
        const id = (entry.target as HTMLElement).dataset.item;
        if (!entry.isIntersecting || id === undefined)
          continue;
        this.of(id).value = true;
        this.#observer?.unobserve(entry.target);
      }
    }, { root: scroller, rootMargin: `${Margin}px 0px` });
    for (const turn of turns) {
      if (!this.of((turn as HTMLElement).dataset.item ?? "").peek())
        this.#observer.observe(turn);
    }
  }

  stop(): void {
    this.#observer?.disconnect();
    this.#observer = null;
  }
}
