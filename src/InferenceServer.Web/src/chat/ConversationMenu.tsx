import { exportJson, exportMarkdown } from "../sidebar/export.ts";
import { Menu } from "../ui/Menu.tsx";
import type { Conversation } from "./conversation.ts";

export function ConversationMenu({ conversation }: { conversation: Conversation }) {
  const id = conversation.id.value;
  if (id === null)
    return null;
  return (
    <Menu label="Conversation" entries={[
      { icon: "download", label: "Export as Markdown", note: "The branch that is shown", run: () => exportMarkdown(id, conversation.leaf.value) },
      { icon: "download", label: "Export as JSON", note: "All branches, to import again", run: () => exportJson([id]) },
    ]} />
  );
}
