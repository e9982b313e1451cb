import { health } from "../store/connection.ts";
import { closeDialog } from "../ui/dialogs.ts";
import { CodeBlock } from "../markdown/CodeBlock.tsx";
import { Dialog } from "../ui/Dialog.tsx";

/** How to have the server run another model. */
export function ModelsDialog() {
  return (
    <Dialog title="Load a better model" onClose={closeDialog}>
      <p>The server runs the model of one GGUF file. Download a chat model in that format, stop the server, and start it with the file's path:</p>
      <CodeBlock language="bash" text={"dotnet run -c Release --project src/InferenceServer -- --model path/to/model.gguf"} />
      <p>A file of up to about half of this machine's memory runs well. Instruction-tuned models of 4 to 8 billion parameters in Q4 or Q5 take 3 to 6 GB, and answer far better than a small one. A GPU makes them faster: see <code>--backend</code> and <code>--gpu-layers</code> in the server's <code>--help</code>.</p>
      <p>Your conversations stay. After the start this page goes on by itself.</p>
      {health.value && <p><small>Now: {health.value.model} on {health.value.backend}.</small></p>}
    </Dialog>
  );
}
