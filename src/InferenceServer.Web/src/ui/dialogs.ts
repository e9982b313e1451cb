import { signal } from "@preact/signals";

export type DialogName = "settings" | "help" | "models" | "persona" | "import";

/** The dialog that is open, of those that any part of the page may open. */
export const openDialog = signal<DialogName | null>(null);

export function showDialog(name: DialogName): void {
  openDialog.value = name;
}

export function closeDialog(): void {
  openDialog.value = null;
}
