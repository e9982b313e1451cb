/** Reads a JSON value that the browser keeps, or the fallback where there is none or it does not pass the check. */
export function readStored<T>(slot: string, isValid: (value: unknown) => value is T, fallback: T, storage: Storage = localStorage): T {
  const text = storage.getItem(`inference-server.${slot}`);
  if (text === null)
    return fallback;
  try {
    const value: unknown = JSON.parse(text);
    return isValid(value) ? value : fallback;
  } catch {
    // Another program's text under our name: the fallback replaces it at the next write.
    return fallback;
  }
}

/** Keeps a value; false where the browser has no room left. */
export function writeStored(slot: string, value: unknown, storage: Storage = localStorage): boolean {
  try {
    storage.setItem(`inference-server.${slot}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function removeStored(slot: string): void {
  localStorage.removeItem(`inference-server.${slot}`);
}
