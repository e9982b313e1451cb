import { connection } from "../store/connection.ts";
import { Icon } from "../ui/Icon.tsx";

/** Says that the server is gone, as long as it is. */
export function Banner() {
  if (connection.value === "up")
    return null;
  return <div class="banner" role="alert"><Icon name="warn" />The server does not answer. It may have stopped, or be starting. This page tries again by itself; what you typed stays.</div>;
}
