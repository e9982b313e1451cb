import { canCallTools, canThink, isOwnSmallModel, model, modelDetails } from "../store/models.ts";
import { count } from "../ui/format.ts";
import { showDialog } from "../ui/dialogs.ts";
import type { Conversation } from "./conversation.ts";

interface Example {
  title: string;
  prompt: string;
}

// What the small model answers well, tried through the server at temperature 0.5.
const SmallExamples: Example[] = [
  { title: "Why is the sky blue?", prompt: "Why is the sky blue?" },
  { title: "Make a cup of tea", prompt: "How do I make a cup of tea?" },
  { title: "A function in Python", prompt: "Write a Python function that adds two numbers." },
  { title: "A poem about the sea", prompt: "Write a short poem about the sea." },
];

const Examples: Example[] = [
  { title: "Explain something", prompt: "Explain how a prefix cache makes a language model answer faster, with an example." },
  { title: "Plan a week", prompt: "Make a table with a simple dinner for each day of the week, and what to buy." },
  { title: "Write code", prompt: "Write a Python function that reads a CSV file and prints the average of each numeric column." },
  { title: "Improve a text", prompt: "Make this friendlier and shorter: We are writing to inform you that your request has been received and will be processed in due time." },
];

/** What a new conversation shows: what the model is, and something to begin with. */
export function Welcome({ conversation }: { conversation: Conversation }) {
  const current = model.value;
  const small = current !== null && isOwnSmallModel(current.id);
  return (
    <div class="welcome">
      <h1>What can I help with?</h1>
      {current && (
        <p class="welcome-model">{small
          ? <><strong>{current.id}</strong> is a small model of {parameters(current.id)} parameters that comes with the server. It chats in simple English, and it is often wrong. <button type="button" class="link" onClick={() => showDialog("models")}>Load a better one</button></>
          : <><strong>{current.id}</strong> {describe(current.id)}, runs on this machine. Nothing you write leaves it.</>}</p>
      )}
      <ul class="examples">
        {(small ? SmallExamples : Examples).map(example => (
          <li key={example.title}>
            <button type="button" disabled={current === null} onClick={() => conversation.send(example.prompt, []).catch(() => null)}>
              <strong>{example.title}</strong><span>{example.prompt}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function parameters(id: string): string {
  const parameterCount = modelDetails.value.get(id)?.model_info["general.parameter_count"];
  return typeof parameterCount === "number" ? count(parameterCount) : "a few million";
}

/** "with 7B parameters, a context of 32,768 tokens and tool calls". */
export function describe(id: string): string {
  const details = modelDetails.value.get(id)?.details;
  const length = model.value?.id === id ? model.value.context_length : undefined;
  const parts = [
    details?.parameter_size && `${details.parameter_size} parameters`,
    length && `a context of ${count(length)} tokens`,
    canThink(id) && "reasoning",
    canCallTools(id) && "tool calls",
  ].filter(part => part);
  return parts.length === 0 ? "" : `with ${parts.slice(0, -1).join(", ")}${parts.length > 1 ? " and " : ""}${parts.at(-1)}`;
}
