import { percent, plural } from "../ui/format.ts";

/** What decides whether the machine keeps up. */
export interface Load {
  up: boolean;
  /** Share of the time that the engine computed. */
  busy: number;
  running: number;
  waiting: number;
  /** Share of the KV pool that running requests hold. */
  held: number;
  /** Requests that had to make room, a second. */
  preemptions: number;
}

export interface Verdict {
  level: "idle" | "fine" | "busy" | "limit" | "down";
  title: string;
  words: string;
}

const Busy = 0.85;
const NearlyFull = 0.9;

/** Whether the machine is the limit, in one glance. */
export function judge(load: Load): Verdict {
  if (!load.up)
    return { level: "down", title: "The engine has failed", words: "It computes nothing. The server's log says why; the server wants to be started again." };
  if (load.preemptions > 0 || (load.held >= NearlyFull && load.waiting > 0))
    return { level: "limit", title: "Memory is the limit", words: `Running requests hold ${percent(load.held)} of the KV pool, and ${plural(load.waiting, "request")} wait. A larger --ctx-size or a smaller --cache-type would help.` };
  if (load.waiting > 0 && load.busy >= Busy)
    return { level: "limit", title: "The machine is the limit", words: `It computes ${percent(load.busy)} of the time, and ${plural(load.waiting, "request")} wait for it.` };
  if (load.waiting > 0)
    return { level: "busy", title: "Requests wait", words: `${plural(load.waiting, "request")} wait while ${load.running} run; --max-sequences may be the limit.` };
  if (load.busy >= Busy)
    return { level: "busy", title: "Busy, and keeping up", words: `It computes ${percent(load.busy)} of the time, and nobody waits.` };
  if (load.running > 0)
    return { level: "fine", title: "At ease", words: `${plural(load.running, "request")} run, and it computes ${percent(load.busy)} of the time.` };
  return { level: "idle", title: "Idle", words: "No request runs or waits." };
}
