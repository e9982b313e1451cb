import { signal } from "@preact/signals";

/** Set to bring the composer into focus, with this text in it where one is given. */
export const composerFocus = signal<{ text?: string } | null>(null);
