// Buttons that do something with the server: not twice at once, and what fails is told.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { tellError } from "../notices";
import { Icon, type IconName } from "./icons";

interface Props {
  children?: ComponentChildren;
  icon?: IconName;
  /** What it does, where there is no text to say so. */
  label?: string;
  kind?: "main" | "plain" | "danger" | "quiet";
  disabled?: boolean;
  small?: boolean;
  onPress: () => unknown;
}

export function Button({ children, icon, label, kind = "plain", disabled = false, small = false, onPress }: Props) {
  const [isBusy, setBusy] = useState(false);
  const isThere = useRef(true);
  useEffect(() => {
    isThere.current = true;
    return () => {
      isThere.current = false;
    };
  }, []);
  const press = async (): Promise<void> => {
    setBusy(true);
    try {
      await onPress();
    } catch (error) {
      tellError(error);
    } finally {
      if (isThere.current) setBusy(false);
    }
  };
  return (
    <button
      type="button"
      class={`button ${kind}${small ? " small" : ""}${children ? "" : " bare"}`}
      disabled={disabled}
      aria-disabled={isBusy}
      aria-label={label}
      title={label}
      onClick={() => !isBusy && void press()}
    >
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = async (): Promise<void> => {
    await toClipboard(text);
    setCopied(true);
  };
  return <Button kind="quiet" small icon={isCopied ? "check" : "copy"} label={label} onPress={copy} />;
}

/** Browsers give pages the clipboard over TLS and on the machine itself only; elsewhere the old way still works. */
async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}
