import { useState } from "preact/hooks";
import { canThink, model } from "../store/models.ts";
import { Dialog } from "../ui/Dialog.tsx";
import { closeDialog } from "../ui/dialogs.ts";
import { change, changeSampling, defaultSampling, parseSchema, parseTools, settings, type Sampling, type Theme } from "./settings.ts";

export function SettingsDialog() {
  return (
    <Dialog title="Settings" onClose={closeDialog} class="wide">
      <div class="settings">
        <Appearance />
        <SamplingSettings />
        <OutputSettings />
      </div>
    </Dialog>
  );
}

const Themes: [Theme, string][] = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];

function Appearance() {
  const { theme, enterSends, modelTitles, showNumbers } = settings.value;
  return (
    <section aria-labelledby="set-page">
      <h3 id="set-page">The page</h3>
      <fieldset class="segments"><legend>Theme</legend>
        {Themes.map(([value, label]) => (
          <label key={value}><input type="radio" name="theme" checked={theme === value} onChange={() => change({ theme: value })} /><span>{label}</span></label>
        ))}
      </fieldset>
      <Check label="Enter sends" note="Shift and Enter break the line. Off: Enter breaks the line, Ctrl and Enter send." checked={enterSends}
        onChange={value => change({ enterSends: value })} />
      <Check label="The model gives titles" note="After the first reply, in one short request. Off: the first words are the title." checked={modelTitles}
        onChange={value => change({ modelTitles: value })} />
      <Check label="Numbers under replies" note="Tokens, speed, and how much of the prompt came from the cache." checked={showNumbers}
        onChange={value => change({ showNumbers: value })} />
    </section>
  );
}

function Check({ label, note, checked, onChange }: { label: string; note: string; checked: boolean; onChange: (value: boolean) => void }) {
  return (
    <label class="check"><input type="checkbox" checked={checked} onChange={event => onChange(event.currentTarget.checked)} />
      <span>{label}<small>{note}</small></span></label>
  );
}

interface Knob {
  name: keyof Sampling;
  label: string;
  /** In plain words: what more and less of it do. */
  note: string;
  min: number;
  max: number;
  step: number;
  /** What holds where nothing is set. */
  unset: string;
}

const Knobs: Knob[] = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, unset: "1",
    note: "How daring the choice of words is. 0 always takes the likeliest word, and says the same each time. Above 1 it gets wild." },
  { name: "top_p", label: "Top P", min: 0, max: 1, step: 0.01, unset: "1",
    note: "Drops unlikely words: kept are the likeliest that together reach this share. 1 keeps all." },
  { name: "top_k", label: "Top K", min: 0, max: 1000, step: 1, unset: "all",
    note: "Keeps this many of the likeliest words at each step. 0 keeps all." },
  { name: "min_p", label: "Min P", min: 0, max: 1, step: 0.01, unset: "0",
    note: "Drops words that are less likely than this share of the likeliest one. 0.05 is a good start." },
  { name: "repetition_penalty", label: "Repetition penalty", min: 0.5, max: 2, step: 0.01, unset: "1",
    note: "Above 1 makes words less likely that were used before. Try 1.1 where a reply goes round in circles." },
  { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, unset: "0",
    note: "Above 0 leads to new topics: a word that was used once is less likely, however often it was used." },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.1, unset: "0",
    note: "Above 0 makes a word less likely for each time it was used." },
  { name: "max_output_tokens", label: "Longest reply", min: 1, max: 1_000_000, step: 1, unset: "to the context's end",
    note: "In tokens. A token is a short word or a part of one. Thinking counts, too." },
  { name: "seed", label: "Seed", min: 0, max: 2_147_483_647, step: 1, unset: "a new one each time",
    note: "The same number and the same question give the same reply." },
];

function SamplingSettings() {
  return (
    <section aria-labelledby="set-sampling">
      <h3 id="set-sampling">How replies are drawn</h3>
      {Knobs.map(knob => <KnobField key={knob.name} knob={knob} />)}
      <div class="row end"><button type="button" onClick={() => changeSampling(defaultSampling)}>Back to the defaults</button></div>
    </section>
  );
}

function KnobField({ knob }: { knob: Knob }) {
  const value = settings.value.sampling[knob.name];
  const id = `knob-${knob.name}`;
  const slides = knob.max - knob.min <= 4;
  const set = (text: string) => {
    const number = text === "" ? null : Number(text);
    if (number === null || (Number.isFinite(number) && number >= knob.min && number <= knob.max))
      changeSampling({ [knob.name]: number });
  };
  return (
    <div class="knob">
      <label for={id}>{knob.label}</label>
      {slides && <input type="range" min={knob.min} max={knob.max} step={knob.step} value={value ?? Number(knob.unset)} aria-label={knob.label} tabIndex={-1}
        onInput={event => set(event.currentTarget.value)} />}
      <input id={id} type="number" min={knob.min} max={knob.max} step={knob.step} value={value ?? ""} placeholder={knob.unset} aria-describedby={`${id}-note`}
        onInput={event => set(event.currentTarget.value)} />
      <small id={`${id}-note`}>{knob.note}</small>
    </div>
  );
}

const Efforts = ["", "low", "medium", "high"];

function OutputSettings() {
  const { effort, format, schema, tools } = settings.value;
  return (
    <section aria-labelledby="set-output">
      <h3 id="set-output">What replies are made of</h3>
      {model.value && canThink(model.value.id) && (
        <div class="knob">
          <label for="set-effort">Thinking</label>
          <select id="set-effort" value={effort} onChange={event => change({ effort: event.currentTarget.value })}>
            {Efforts.map(value => <option key={value} value={value}>{value || "as the model likes"}</option>)}
          </select>
          <small>How long the model thinks before it replies. More is slower, and better at hard questions.</small>
        </div>
      )}
      <div class="knob">
        <label for="set-format">Form</label>
        <select id="set-format" value={format} onChange={event => change({ format: event.currentTarget.value as typeof format })}>
          <option value="text">Text</option>
          <option value="json">A JSON object</option>
          <option value="schema">JSON by a schema</option>
        </select>
        <small>JSON is enforced while the reply is made, token by token.</small>
      </div>
      {format === "schema" && <CodeField label="JSON Schema" value={schema} check={parseSchema} onChange={value => change({ schema: value })}
        placeholder={"{\n  \"type\": \"object\",\n  \"properties\": { \"city\": { \"type\": \"string\" } },\n  \"required\": [\"city\"]\n}"} />}
      <CodeField label="Functions that the model may call" value={tools} check={parseTools} onChange={value => change({ tools: value })}
        placeholder={"[{ \"name\": \"weather\", \"description\": \"The weather of a city\", \"parameters\": { \"type\": \"object\", \"properties\": { \"city\": { \"type\": \"string\" } } } }]"}
        note="A JSON array. The page runs nothing: it shows the call, and you give it the result." />
    </section>
  );
}

interface CodeFieldProps {
  label: string;
  value: string;
  placeholder: string;
  note?: string;
  /** Throws where the text is wrong. */
  check: (text: string) => unknown;
  onChange: (text: string) => void;
}

function CodeField({ label, value, placeholder, note, check, onChange }: CodeFieldProps) {
  const [error, setError] = useState<string | null>(null);
  return (
    <label class="stack code-field">{label}
      {note && <small>{note}</small>}
      <textarea rows={5} spellcheck={false} value={value} placeholder={placeholder} aria-invalid={error !== null} dir="ltr" onInput={event => {
        const text = event.currentTarget.value;
        onChange(text);
        try {
          if (text.trim() !== "")
            check(text);
          setError(null);
        } catch (failure) {
          setError(failure instanceof Error ? failure.message : String(failure));
        }
      }} />
      {error !== null && <small class="error">{error}</small>}
    </label>
  );
}
