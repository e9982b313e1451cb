/** A call as it is written down in a program. */
export interface Call {
  url: string;
  method: string;
  /** JSON text; null for none. */
  body: string | null;
  /** The server wants a key: the snippet reads it from the environment. */
  keyed: boolean;
}

const KeyVariable = "INFERENCE_SERVER_API_KEY";

const streams = (call: Call): boolean => call.body !== null && /"stream"\s*:\s*true/.test(call.body);

export function toCurl({ url, method, body, keyed }: Call): string {
  const parts = [`curl -N ${shellQuote(url)}`];
  if (method !== (body === null ? "GET" : "POST"))
    parts.push(`-X ${method}`);
  if (keyed)
    parts.push(`-H "authorization: Bearer $${KeyVariable}"`);
  if (body !== null)
    parts.push("-H 'content-type: application/json'", `-d ${shellQuote(body)}`);
  return parts.join(" \\\n  ");
}

const shellQuote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export function toPython(call: Call): string {
  const { url, method, body, keyed } = call;
  const lines = [...keyed ? ["import os"] : [], "import requests", ""];
  const extras = [keyed ? `headers={"authorization": f"Bearer {os.environ['${KeyVariable}']}"}` : "", body === null ? "" : "json=body", streams(call) ? "stream=True" : ""];
  if (body !== null)
    lines.push(`body = ${pythonValue(JSON.parse(body), "")}`);
  lines.push(`answer = requests.${method.toLowerCase()}(${[pythonValue(url, ""), ...extras.filter(extra => extra !== "")].join(", ")})`, "answer.raise_for_status()");
  lines.push(...streams(call) ? ["for line in answer.iter_lines(decode_unicode=True):", "    print(line)"] : ["print(answer.text)"]);
  return `${lines.join("\n")}\n`;
}

function pythonValue(value: unknown, indent: string): string {
  const inner = `${indent}    `;
  if (value === null)
    return "None";
  if (typeof value === "boolean")
    return value ? "True" : "False";
  if (Array.isArray(value))
    return value.length === 0 ? "[]" : `[\n${value.map(one => `${inner}${pythonValue(one, inner)},\n`).join("")}${indent}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value);
    return entries.length === 0 ? "{}" : `{\n${entries.map(([name, one]) => `${inner}${JSON.stringify(name)}: ${pythonValue(one, inner)},\n`).join("")}${indent}}`;
  }
  // JSON's strings and numbers are Python's.
  return JSON.stringify(value);
}

export function toCSharp(call: Call): string {
  const { url, method, body, keyed } = call;
  const lines = ["using HttpClient client = new();", `using HttpRequestMessage request = new(HttpMethod.${method.charAt(0)}${method.slice(1).toLowerCase()}, ${JSON.stringify(url)});`];
  if (keyed)
    lines.push(`request.Headers.Authorization = new("Bearer", Environment.GetEnvironmentVariable("${KeyVariable}"));`);
  if (body !== null) {
    const quotes = "\"".repeat(Math.max(3, 1 + Math.max(0, ...[...body.matchAll(/"+/g)].map(match => match[0].length))));
    lines.push(`request.Content = new StringContent(${quotes}`, body.replace(/^/gm, "    "), `    ${quotes}, null, "application/json");`);
  }
  if (streams(call))
    lines.push("using HttpResponseMessage answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);", "answer.EnsureSuccessStatusCode();",
      "using StreamReader reader = new(await answer.Content.ReadAsStreamAsync());", "while (await reader.ReadLineAsync() is { } line)", "    Console.WriteLine(line);");
  else
    lines.push("using HttpResponseMessage answer = await client.SendAsync(request);", "Console.WriteLine(await answer.Content.ReadAsStringAsync());");
  return `${lines.join("\n")}\n`;
}
