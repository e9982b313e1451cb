import { current, newChat } from "../chat/current.ts";
import { composerFocus } from "../chat/focus.ts";
import { feedbackDialog } from "../feedback/dialogs.ts";
import { searchFocus } from "../sidebar/focus.ts";
import { toggleSidebar } from "../sidebar/visibility.ts";
import { openDialog, showDialog } from "../ui/dialogs.ts";

interface Shortcut {
  /** As the help sheet shows it. */
  keys: string[];
  does: string;
  matches: (event: KeyboardEvent) => boolean;
  run: () => void;
}

const command = (event: KeyboardEvent) => event.ctrlKey || event.metaKey;
const types = (event: KeyboardEvent) => event.target instanceof HTMLElement && event.target.matches("input, textarea, select, [contenteditable]");

const dialogIsOpen = () => openDialog.value !== null || feedbackDialog.value !== null;

const stop = () => {
  const run = current.value.shownRun.value;
  if (run?.isLive)
    run.stop();
};

/** What works everywhere on the page. */
export const shortcuts: Shortcut[] = [
  { keys: ["Ctrl", "Shift", "O"], does: "New chat", matches: event => command(event) && event.shiftKey && event.code === "KeyO", run: () => {
    newChat();
    composerFocus.value = {};
  } },
  { keys: ["Ctrl", "K"], does: "Search the chats", matches: event => command(event) && !event.shiftKey && event.code === "KeyK", run: () => searchFocus.value++ },
  { keys: ["Ctrl", "Shift", "S"], does: "Show or hide the sidebar", matches: event => command(event) && event.shiftKey && event.code === "KeyS", run: toggleSidebar },
  { keys: ["Shift", "Esc"], does: "Go to the message field", matches: event => event.shiftKey && event.key === "Escape", run: () => composerFocus.value = {} },
  { keys: ["Esc"], does: "Stop the reply", matches: event => event.key === "Escape" && !event.shiftKey && !dialogIsOpen(), run: stop },
  { keys: ["Ctrl", ","], does: "Settings", matches: event => command(event) && event.key === ",", run: () => showDialog("settings") },
  { keys: ["Ctrl", "/"], does: "This help", matches: event => command(event) && event.key === "/", run: () => showDialog("help") },
  { keys: ["?"], does: "This help, outside of text fields", matches: event => event.key === "?" && !types(event), run: () => showDialog("help") },
];

/** What the message field does with keys; it handles them itself. */
export const fieldKeys: { keys: string[]; does: string }[] = [
  { keys: ["Enter"], does: "Send" },
  { keys: ["Shift", "Enter"], does: "Break the line" },
  { keys: ["↑"], does: "Change the last message, in an empty field" },
];

export function listenToKeys(): void {
  addEventListener("keydown", event => {
    if (event.defaultPrevented || event.isComposing)
      return;
    const shortcut = shortcuts.find(one => one.matches(event));
    if (!shortcut || (dialogIsOpen() && shortcut.keys.at(-1) !== "/"))
      return;
    if (event.key !== "Escape")
      event.preventDefault();
    shortcut.run();
  });
}
