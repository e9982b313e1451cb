import type { ComponentChildren } from "preact";
import { sidebarOpen, toggleSidebar } from "../sidebar/visibility.ts";
import { IconButton } from "./IconButton.tsx";

/** The head of a page beside the chat. */
export function PageHead({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <header class="page-head">
      {!sidebarOpen.value && <IconButton icon="sidebar" label="Show the sidebar" onClick={toggleSidebar} />}
      <h1>{title}</h1>
      {children}
    </header>
  );
}
