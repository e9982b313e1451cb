import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  tex: string;
  display: boolean;
}

type Katex = typeof import("katex").default;

let katex: Katex | null = null;
let loading: Promise<Katex> | null = null;

function load(): Promise<Katex> {
  return loading ??= Promise.all([import("katex"), import("katex/dist/katex.min.css")]).then(([module]) => katex = module.default);
}

/** A formula; its source until KaTeX is here, and where it cannot be read. */
export function MathView({ tex, display }: Props) {
  const place = useRef<HTMLSpanElement>(null);
  const [ready, setReady] = useState(katex !== null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (!ready)
      load().then(() => setReady(true), () => setFailed(true));
  }, [ready]);
  useEffect(() => {
    if (!ready || !katex || !place.current)
      return;
    try {
      // Limits, since the formula is the model's: expansions, and sizes in em.
      katex.render(tex, place.current, { displayMode: display, throwOnError: true, trust: false, strict: "ignore", maxExpand: 300, maxSize: 20 });
      setFailed(false);
    } catch {
      setFailed(true);
    }
  }, [tex, display, ready]);
  return (
    <span class={display ? "math math-display" : "math"} dir="ltr">
      {(!ready || failed) && <code>{tex}</code>}
      <span ref={place} hidden={failed} />
    </span>
  );
}
