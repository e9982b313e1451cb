import { signal } from "@preact/signals";
import { readStored, writeStored } from "../store/storage.ts";

/** Below this width the sidebar lies over the chat, and begins closed. */
const narrow = matchMedia("(max-width: 800px)");

const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";

export const isNarrow = signal(narrow.matches);
export const sidebarOpen = signal(!narrow.matches && readStored("sidebar", isBoolean, true));

narrow.addEventListener("change", () => {
  isNarrow.value = narrow.matches;
  sidebarOpen.value = !narrow.matches && readStored("sidebar", isBoolean, true);
});

export function toggleSidebar(): void {
  sidebarOpen.value = !sidebarOpen.value;
  if (!narrow.matches)
    writeStored("sidebar", sidebarOpen.value);
}

/** On a narrow window choosing something closes the sidebar over it. */
export function closeIfNarrow(): void {
  if (narrow.matches)
    sidebarOpen.value = false;
}
