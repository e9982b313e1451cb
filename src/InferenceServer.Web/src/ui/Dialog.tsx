import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { IconButton } from "./IconButton.tsx";

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
  /** Without a way out but the buttons inside. */
  mustAnswer?: boolean;
}

/** A modal dialog of the browser's own: it traps focus, closes on Escape and gives focus back. */
export function Dialog({ title, onClose, children, class: className, mustAnswer = false }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected)
        before.focus();
    };
  }, []);
  const cancel = (event: Event) => {
    event.preventDefault();
    if (!mustAnswer)
      onClose();
  };
  const backdrop = (event: MouseEvent) => {
    if (event.target === dialog.current && !mustAnswer)
      onClose();
  };
  return (
    <dialog ref={dialog} class={`dialog ${className ?? ""}`} aria-labelledby={id} onCancel={cancel} onClick={backdrop}>
      <div class="dialog-box">
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          {!mustAnswer && <IconButton icon="close" label="Close" onClick={onClose} />}
        </header>
        <div class="dialog-body" tabIndex={0}>{children}</div>
      </div>
    </dialog>
  );
}
