// Generates a client from the server's own description, compiles what an app would write against it, and runs that.
import { writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";
import { real, report, scripted } from "./shared.mjs";

await writeFile("schema.d.ts", astToString(await openapiTS(new URL(`${real}openapi/v1.json`), { defaultNonNullable: false })));

const program = ts.createProgram(["generated.ts"], {
  strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, target: ts.ScriptTarget.ES2022, lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.asynciterable.d.ts"],
  module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [], skipLibCheck: true,
});
const emitted = program.emit();
const complaints = [...ts.getPreEmitDiagnostics(program), ...emitted.diagnostics];
if (complaints.length > 0)
  throw new Error(ts.formatDiagnostics(complaints, { getCanonicalFileName: name => name, getCurrentDirectory: () => ".", getNewLine: () => "\n" }));

report(await (await import("./generated.js")).use(real, scripted));
