import { signal } from "@preact/signals";
import { onAnswer } from "../api/client.ts";
import { getHealth } from "../api/server.ts";
import type { Health } from "../api/types.ts";

/** How the server is, as of the last answer. */
export const connection = signal<"up" | "gone">("up");
export const health = signal<Health | null>(null);

const FirstRetryMs = 500;
const LongestRetryMs = 5000;

let asking = false;
let back: PromiseWithResolvers<void> | null = null;

onAnswer(answered => {
  if (answered)
    found();
  else
    void lost();
});

/** Resolves when the server answers again; at once where it does. */
export function reconnected(): Promise<void> {
  if (connection.value === "up")
    return Promise.resolve();
  back ??= Promise.withResolvers<void>();
  return back.promise;
}

export async function refreshHealth(): Promise<Health> {
  return health.value = await getHealth();
}

function found(): void {
  connection.value = "up";
  back?.resolve();
  back = null;
}

async function lost(): Promise<void> {
  connection.value = "gone";
  if (asking)
    return;
  asking = true;
  for (let wait = FirstRetryMs; connection.value === "gone"; wait = Math.min(2 * wait, LongestRetryMs)) {
    await new Promise(resolve => setTimeout(resolve, wait));
    // The answer, or its absence, arrives through onAnswer.
    await refreshHealth().catch(() => null);
  }
  asking = false;
}
