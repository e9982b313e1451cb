import { useState } from "preact/hooks";
import { enterKey, keyAsked } from "../api/key.ts";
import { Dialog } from "../ui/Dialog.tsx";

/** Asks for the API key that the server wants, once a tab. */
export function KeyDialog() {
  const [entered, setEntered] = useState("");
  return (
    <Dialog title="This server wants a key" onClose={() => undefined} mustAnswer>
      <form class="stack" onSubmit={event => {
        event.preventDefault();
        if (entered.trim() !== "")
          enterKey(entered.trim());
        setEntered("");
      }}>
        <p>{keyAsked.value === "again" ? "The server does not know this key. Try another one." : "Whoever started the server gave it keys (--api-key). Enter yours."} It is kept until you close this tab.</p>
        <label class="stack">Key
          <input type="password" autocomplete="off" autofocus value={entered} onInput={event => setEntered(event.currentTarget.value)} />
        </label>
        <div class="row end"><button type="submit" class="primary" disabled={entered.trim() === ""}>Continue</button></div>
      </form>
    </Dialog>
  );
}
