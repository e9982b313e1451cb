import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce.tsx";
import { Icon } from "./Icon.tsx";

interface Props {
  text: () => string;
  label: string;
  /** Words on the button, where it has some. */
  short?: string;
}

const ShownMs = 1500;

export function CopyButton({ text, label, short }: Props) {
  const [state, setState] = useState<"" | "copied" | "failed">("");
  useEffect(() => {
    if (state === "")
      return;
    const timer = setTimeout(() => setState(""), ShownMs);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () => copyText(text()).then(
    () => {
      setState("copied");
      announce("Copied");
    },
    () => setState("failed"),
  );
  const words = state === "copied" ? "Copied" : state === "failed" ? "The browser refused" : short;
  return (
    <button type="button" class={short === undefined ? "icon-button" : "quiet small"} aria-label={label} title={label} onClick={copy}>
      <Icon name={state === "copied" ? "check" : state === "failed" ? "warn" : "copy"} />{words !== undefined && short !== undefined ? words : null}
    </button>
  );
}

async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Over plain HTTP from another machine there is no clipboard interface.
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done)
    throw new Error("The browser did not copy.");
}
