import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { keyAsked } from "../api/key.ts";
import { ChatPage } from "../chat/ChatPage.tsx";
import { ModelsDialog } from "../chat/ModelsDialog.tsx";
import { FeedbackDialogs } from "../feedback/FeedbackDialogs.tsx";
import { KeyDialog } from "../settings/KeyDialog.tsx";
import { PersonaDialog } from "../settings/PersonaDialog.tsx";
import { SettingsDialog } from "../settings/SettingsDialog.tsx";
import { ImportDialog } from "../sidebar/ImportDialog.tsx";
import { Sidebar } from "../sidebar/Sidebar.tsx";
import { sidebarOpen } from "../sidebar/visibility.ts";
import { followLinks, route } from "../store/router.ts";
import { Announcer } from "../ui/announce.tsx";
import { openDialog } from "../ui/dialogs.ts";
import { Banner } from "./Banner.tsx";
import { HelpDialog } from "./HelpDialog.tsx";

// Whoever only chats does not load the other pages.
const pages = {
  status: () => import("../status/StatusPage.tsx").then(module => module.StatusPage),
  playground: () => import("../playground/PlaygroundPage.tsx").then(module => module.PlaygroundPage),
  feedback: () => import("../feedback/FeedbackPage.tsx").then(module => module.FeedbackPage),
};

export function App() {
  const { page } = route.value;
  return (
    <div class={sidebarOpen.value ? "app with-sidebar" : "app"} onClick={followLinks}>
      <a class="skip" href="#main">Skip to the page</a>
      <Sidebar />
      <div class="page">
        <Banner />
        {page === "chat" ? <ChatPage /> : <LoadedPage key={page} page={page} />}
      </div>
      <Dialogs />
      <Announcer />
    </div>
  );
}

function LoadedPage({ page }: { page: keyof typeof pages }) {
  const [Page, setPage] = useState<FunctionComponent | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    pages[page]().then(loaded => setPage(() => loaded), (failure: unknown) => setError(explain(failure)));
  }, [page]);
  if (error !== null)
    return <main id="main"><p class="notice failed" role="alert">The page could not be loaded: {error}</p></main>;
  return Page ? <Page /> : <main id="main" aria-busy="true" />;
}

function Dialogs() {
  if (keyAsked.value !== "no")
    return <KeyDialog key={keyAsked.value} />;
  switch (openDialog.value) {
    case "settings": return <SettingsDialog />;
    case "help": return <HelpDialog />;
    case "models": return <ModelsDialog />;
    case "persona": return <PersonaDialog />;
    case "import": return <ImportDialog />;
    case null: return <FeedbackDialogs />;
  }
}
