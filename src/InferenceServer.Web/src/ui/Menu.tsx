import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./Icon.tsx";
import { useDismiss } from "./useDismiss.ts";

export interface MenuEntry {
  icon?: IconName;
  label: string;
  note?: string;
  checked?: boolean;
  danger?: boolean;
  run: () => void;
}

interface Props {
  label: string;
  entries: MenuEntry[];
  /** What the button shows; three dots without it. */
  children?: ComponentChildren;
  class?: string;
  align?: "start" | "end";
}

/** A button with a menu: arrows move, Escape closes, Enter takes. */
export function Menu({ label, entries, children, class: className, align = "end" }: Props) {
  const [open, setOpen] = useState(false);
  const [up, setUp] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    // Where there is no room below, in the window or in what scrolls, the list opens upwards.
    const bottom = root.current?.closest(".scroller, .conversations, .page-main")?.getBoundingClientRect().bottom ?? innerHeight;
    setUp(open && (list.current?.getBoundingClientRect().bottom ?? 0) > bottom);
  }, [open]);
  useEffect(() => {
    if (!open)
      return;
    const checked = list.current?.querySelector<HTMLElement>("[aria-checked=true]");
    (checked ?? list.current?.querySelector<HTMLElement>("button"))?.focus();
  }, [open]);
  useDismiss(root, open, () => setOpen(false));
  const close = () => {
    setOpen(false);
    root.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const keys = (event: KeyboardEvent) => {
    const buttons = [...list.current?.querySelectorAll<HTMLElement>("button") ?? []];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") {
      close();
    } else if (step !== undefined) {
      event.preventDefault();
      buttons.at(step % buttons.length)?.focus();
    }
  };
  return (
    <div class={`menu ${className ?? ""}`} ref={root}>
      <button type="button" class={children === undefined ? "icon-button" : "quiet"} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined}
        aria-label={label} title={label} onClick={() => setOpen(!open)}>
        {children ?? <Icon name="more" />}
      </button>
      {open && (
        <div class={`menu-list menu-${align}${up ? " menu-up" : ""}`} id={id} role="menu" aria-label={label} ref={list} onKeyDown={keys}>
          {entries.map(entry => (
            <button key={entry.label} type="button" role={entry.checked === undefined ? "menuitem" : "menuitemradio"} aria-checked={entry.checked} tabIndex={-1}
              class={entry.danger ? "danger" : ""} onClick={() => {
                close();
                entry.run();
              }}>
              {entry.icon && <Icon name={entry.icon} />}
              <span class="menu-words"><span dir="auto">{entry.label}</span>{entry.note && <small>{entry.note}</small>}</span>
              {entry.checked && <Icon name="check" />}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
