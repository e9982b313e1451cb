/** JSON with line breaks; null where the text is no JSON object or array. */
export function pretty(text: string): string | null {
  if (!/^\s*[[{]/.test(text))
    return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
