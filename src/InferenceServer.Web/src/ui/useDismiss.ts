import { useEffect } from "preact/hooks";

/** Closes what is open when the user points elsewhere or presses Escape inside of it. */
export function useDismiss(root: { current: HTMLElement | null }, open: boolean, close: () => void): void {
  useEffect(() => {
    const { current } = root;
    if (!open || !current)
      return;
    const outside = (event: PointerEvent) => {
      if (!current.contains(event.target as Node))
        close();
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== "Escape")
        return;
      // Escape means this here, and not what it means to the page.
      event.preventDefault();
      event.stopPropagation();
      close();
      current.querySelector<HTMLElement>("button")?.focus();
    };
    addEventListener("pointerdown", outside);
    current.addEventListener("keydown", escape);
    return () => {
      removeEventListener("pointerdown", outside);
      current.removeEventListener("keydown", escape);
    };
  }, [open]);
}
