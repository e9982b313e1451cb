import type { ComponentProps } from "preact";
import { Icon, type IconName } from "./Icon.tsx";

type Props = Omit<ComponentProps<"button">, "icon" | "label"> & { icon: IconName; label: string };

/** A button that is only a picture; its label is its name and its tooltip. */
export function IconButton({ icon, label, class: className, ...rest }: Props) {
  return (
    <button type="button" class={`icon-button ${typeof className === "string" ? className : ""}`} aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}
