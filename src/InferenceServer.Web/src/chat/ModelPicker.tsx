import { canCallTools, canThink, chooseModel, model, modelDetails, models } from "../store/models.ts";
import { showDialog } from "../ui/dialogs.ts";
import { count } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { Menu, type MenuEntry } from "../ui/Menu.tsx";

/** The model that replies, and what each of the loaded ones can do. */
export function ModelPicker() {
  const current = model.value;
  const entries: MenuEntry[] = models.value.map(one => ({
    label: one.id, note: abilities(one.id, one.context_length), checked: one.id === current?.id, run: () => chooseModel(one.id),
  }));
  entries.push({ icon: "plus", label: "Load another model…", run: () => showDialog("models") });
  return (
    <Menu label={`Model: ${current?.id ?? "none"}`} entries={entries} align="start" class="model-picker">
      <span class="model-name">{current?.id ?? "No model"}</span><Icon name="down" />
    </Menu>
  );
}

function abilities(id: string, context: number | undefined): string {
  const details = modelDetails.value.get(id)?.details;
  return [
    details && `${details.parameter_size} ${details.quantization_level}`,
    context && `${count(context)} tokens of context`,
    canCallTools(id) ? "calls functions" : "text only",
    canThink(id) && "thinks first",
  ].filter(part => part).join(" · ");
}
