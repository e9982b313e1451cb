import { signal } from "@preact/signals";

const Slot = "inference-server.key";

/** The API key of this browser tab; "" where none was asked for. */
export const key = signal(sessionStorage.getItem(Slot) ?? "");

/** True while a request waits for a key: the page then shows the dialog that asks for it. */
export const keyAsked = signal<"no" | "first" | "again">("no");

let waiting: PromiseWithResolvers<void> | null = null;

/** Waits until the user has entered a key. `refused` is the key that did not open the server. */
export function askForKey(refused: string): Promise<void> {
  // Another request may have brought a new key since this one was sent.
  if (key.value !== refused)
    return Promise.resolve();
  keyAsked.value = refused === "" ? "first" : "again";
  waiting ??= Promise.withResolvers<void>();
  return waiting.promise;
}

export function enterKey(entered: string): void {
  key.value = entered;
  // The session's storage ends with the tab: no key stays on the disk of a shared machine.
  sessionStorage.setItem(Slot, entered);
  keyAsked.value = "no";
  waiting?.resolve();
  waiting = null;
}
