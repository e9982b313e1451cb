import { signal } from "@preact/signals";

/** Counted up to bring the search field into focus. */
export const searchFocus = signal(0);
