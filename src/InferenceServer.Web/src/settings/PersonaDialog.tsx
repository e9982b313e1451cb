import { useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { current } from "../chat/current.ts";
import { InstructionsLimit, PersonaNameLimit } from "../chat/metadata.ts";
import { Dialog } from "../ui/Dialog.tsx";
import { closeDialog } from "../ui/dialogs.ts";
import { count } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { randomId } from "../ui/id.ts";
import { builtInPersonas, deletePersona, ownPersonas, savePersonas, type Persona } from "./personas.ts";

/** Who the model is in this conversation: a persona, or instructions of its own. */
export function PersonaDialog() {
  const conversation = current.value;
  const [persona, setPersona] = useState(conversation.meta.value.persona);
  const [instructions, setInstructions] = useState(conversation.meta.value.instructions);
  const [name, setName] = useState("");
  const [error, setError] = useState<string | null>(null);
  const choose = (one: Persona | null) => {
    setPersona(one?.id ?? "");
    setInstructions(one?.instructions ?? "");
  };
  const submit = (event: Event) => {
    event.preventDefault();
    let id = persona;
    if (name.trim() !== "") {
      id = randomId();
      savePersonas([{ id, name: name.trim(), instructions }]);
    }
    conversation.changeMeta({ persona: id, instructions }).then(closeDialog, (failure: unknown) => setError(explain(failure)));
  };
  return (
    <Dialog title="Persona and system prompt" onClose={closeDialog} class="wide">
      <form class="stack" onSubmit={submit}>
        <div class="personas" role="group" aria-label="Personas">
          <PersonaButton label="None" note="The model as it is" chosen={persona === "" && instructions === ""} onClick={() => choose(null)} />
          {[...builtInPersonas, ...ownPersonas.value].map(one => (
            <PersonaButton key={one.id} label={one.name} note={one.instructions} chosen={persona === one.id} onClick={() => choose(one)}
              onDelete={ownPersonas.value.includes(one) ? () => deletePersona(one.id) : undefined} />
          ))}
        </div>
        <label class="stack">System prompt of this conversation
          <textarea rows={6} value={instructions} maxLength={InstructionsLimit} dir="auto" placeholder="What the model should know and how it should answer"
            onInput={event => {
              setInstructions(event.currentTarget.value);
              setPersona("");
            }} />
        </label>
        <small>It goes before every request of this conversation. {count(instructions.length)} of {count(InstructionsLimit)} characters.</small>
        {persona === "" && instructions.trim() !== "" && (
          <label class="stack">Keep it as a persona (give it a name, or leave this empty)
            <input value={name} maxLength={PersonaNameLimit} dir="auto" onInput={event => setName(event.currentTarget.value)} />
          </label>
        )}
        {error !== null && <p class="error" role="alert">{error}</p>}
        <div class="row end">
          <button type="button" onClick={closeDialog}>Cancel</button>
          <button type="submit" class="primary">Use it</button>
        </div>
      </form>
    </Dialog>
  );
}

interface ButtonProps {
  label: string;
  note: string;
  chosen: boolean;
  onClick: () => void;
  onDelete?: (() => void) | undefined;
}

function PersonaButton({ label, note, chosen, onClick, onDelete }: ButtonProps) {
  return (
    <div class="persona">
      <button type="button" aria-pressed={chosen} onClick={onClick}>
        <strong dir="auto">{label}</strong><small dir="auto">{note}</small>{chosen && <Icon name="check" />}
      </button>
      {onDelete && <IconButton icon="trash" label={`Delete persona ${label}`} onClick={onDelete} />}
    </div>
  );
}
