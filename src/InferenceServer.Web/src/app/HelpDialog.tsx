import { Dialog } from "../ui/Dialog.tsx";
import { closeDialog } from "../ui/dialogs.ts";
import { fieldKeys, shortcuts } from "./shortcuts.ts";

const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

export function HelpDialog() {
  return (
    <Dialog title="Keyboard shortcuts" onClose={closeDialog}>
      <h3>Everywhere</h3>
      <Keys list={shortcuts} />
      <h3>In the message field</h3>
      <Keys list={fieldKeys} />
    </Dialog>
  );
}

function Keys({ list }: { list: { keys: string[]; does: string }[] }) {
  return (
    <dl class="keys">
      {list.map(({ keys, does }) => (
        <div key={does}><dt>{keys.map(key => <kbd key={key}>{isMac && key === "Ctrl" ? "⌘" : key}</kbd>)}</dt><dd>{does}</dd></div>
      ))}
    </dl>
  );
}
