import { effect } from "@preact/signals";
import { render } from "preact";
import { ApiError } from "./api/client.ts";
import { App } from "./app/App.tsx";
import { listenToKeys } from "./app/shortcuts.ts";
import { current, followRoute } from "./chat/current.ts";
import { applyTheme } from "./settings/settings.ts";
import { loadList } from "./sidebar/list.ts";
import { connection, refreshHealth } from "./store/connection.ts";
import { loadModels } from "./store/models.ts";
import { route } from "./store/router.ts";
import "./styles/index.css";

applyTheme();
followRoute();
listenToKeys();

const names = { chat: "Chat", status: "Status", playground: "Try the API", feedback: "Feedback" };

effect(() => {
  const { page } = route.value;
  document.title = (page === "chat" && current.value.meta.value.title) || names[page];
});

const LoadingRetryMs = 1000;

// At the start, and again when the server is back: it may run another model then.
effect(() => {
  if (connection.value === "up")
    void start();
});

async function start(): Promise<void> {
  try {
    await Promise.all([loadModels(), refreshHealth(), loadList()]);
  } catch (error) {
    // A server that is gone is watched for already, and one that loads its model will be ready.
    if (error instanceof ApiError && error.kind === "loading")
      setTimeout(() => void start(), LoadingRetryMs);
  }
}

const root = document.getElementById("app");
if (root)
  render(<App />, root);
