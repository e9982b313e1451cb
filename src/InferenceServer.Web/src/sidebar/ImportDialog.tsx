import { useRef, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { savePersonas } from "../settings/personas.ts";
import { announce } from "../ui/announce.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { closeDialog } from "../ui/dialogs.ts";
import { plural } from "../ui/format.ts";
import { exportJson } from "./export.ts";
import { parseImport } from "./import.ts";
import { loadList } from "./list.ts";
import { upload } from "./upload.ts";

/** Takes conversations in from a file, and gives all of them out. */
export function ImportDialog() {
  const picker = useRef<HTMLInputElement>(null);
  const [progress, setProgress] = useState<{ done: number; of: number } | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [finished, setFinished] = useState<string | null>(null);

  const run = async (file: File) => {
    setError(null);
    setFinished(null);
    let done = 0;
    try {
      const { conversations, personas } = parseImport(await file.text());
      for (const conversation of conversations) {
        setProgress({ done, of: conversations.length });
        await upload(conversation);
        done++;
      }
      savePersonas(personas);
      const parts = [...done > 0 || personas.length === 0 ? [plural(done, "conversation")] : [], ...personas.length > 0 ? [plural(personas.length, "persona")] : []];
      const words = `${parts.join(" and ")} imported`;
      setFinished(words);
      announce(words);
    } catch (failure) {
      setError(`${explain(failure)}${done > 0 ? ` ${plural(done, "conversation")} before it were imported.` : ""}`);
    } finally {
      setProgress(null);
      await loadList();
    }
  };

  return (
    <Dialog title="Import and export" onClose={closeDialog}>
      <p>Import a file that this page exported, or the <code>conversations.json</code> of ChatGPT's data export. All branches come along. Your own personas are kept in this browser; an export takes them along, too.</p>
      <div class="row">
        <button type="button" class="primary" disabled={progress !== null} onClick={() => picker.current?.click()}>Choose a file</button>
        <button type="button" onClick={() => exportJson().catch((failure: unknown) => setError(explain(failure)))}>Export everything</button>
      </div>
      <input ref={picker} type="file" accept=".json,application/json" hidden aria-label="File to import" onChange={event => {
        const file = event.currentTarget.files?.[0];
        event.currentTarget.value = "";
        if (file)
          void run(file);
      }} />
      {progress && <p role="status">Importing {progress.done + 1} of {progress.of}… <progress value={progress.done} max={progress.of} aria-label="Import" /></p>}
      {finished !== null && <p role="status">{finished}.</p>}
      {error !== null && <p class="error" role="alert">{error}</p>}
    </Dialog>
  );
}
