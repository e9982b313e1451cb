import { signal, type Signal } from "@preact/signals";
import { createContext } from "preact";

/** Pixels beyond the window's edges that count as near: about two screens. */
const Margin = 1600;

/** Says of a turn whether it is to be shown in full. */
export type NearnessOf = (turn: string) => Signal<boolean>;

export const Nearness = createContext<NearnessOf>(() => signal(true));

/**
 * Watches groups of turns in a scrolled list. The turns of a group that comes near are to be shown in full, one after the other, the lowest first: one at a
 * time never holds the page, and a reader comes from below.
 */
export class NearnessWatcher {
  readonly #signals = new Map<string, Signal<boolean>>();
  readonly #turnsOf = new Map<Element, readonly string[]>();
  #observer: IntersectionObserver | null = null;
  #waiting: string[] = [];
  #works = false;

  readonly of: NearnessOf = turn => {
    let near = this.#signals.get(turn);
    if (!near)
      this.#signals.set(turn, near = signal(false));
    return near;
  };

  /** Watches a group, or knows that its turns are others now. */
  watch(scroller: Element, group: Element, turns: readonly string[]): void {
    this.#observer ??= new IntersectionObserver(entries => {
      for (const entry of entries) {
        if (entry.isIntersecting)
          this.#show(this.#turnsOf.get(entry.target) ?? []);
      }
    }, { root: scroller, rootMargin: `${Margin}px 0px` });
    const known = this.#turnsOf.get(group);
    this.#turnsOf.set(group, turns);
    if (known)
      // What it says of a group it says again only when asked anew.
      this.#observer.unobserve(group);
    this.#observer.observe(group);
  }

  stop(): void {
    this.#observer?.disconnect();
    this.#observer = null;
    this.#waiting = [];
  }

  #show(turns: readonly string[]): void {
    this.#waiting.push(...turns.filter(turn => !this.of(turn).peek()));
    if (this.#works || this.#waiting.length === 0)
      return;
    this.#works = true;
    const next = () => {
      const turn = this.#waiting.pop();
      if (turn === undefined) {
        this.#works = false;
        return;
      }
      this.of(turn).value = true;
      setTimeout(next);
    };
    next();
  }
}
