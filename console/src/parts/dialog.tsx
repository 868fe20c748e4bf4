// A modal dialog: the browser's own, which keeps focus inside, gives it back, and closes at Escape.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { words } from "../api/client";
import { Button } from "./button";
import { Wrong } from "./wrong";

interface Props {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, wide = false, onClose, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    element.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "wide" : ""}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onMouseDown={(event) => event.target === element.current && onClose()}
    >
      <header>
        <h2 id="dialog-title">{title}</h2>
        <Button kind="quiet" icon="close" label="Close" onPress={onClose} />
      </header>
      {children}
    </dialog>
  );
}

interface FormProps extends Props {
  action: string;
  isBusy?: boolean;
  onSubmit: () => Promise<void>;
}

export function FormDialog({ title, wide = false, action, isBusy = false, onSubmit, onClose, children }: FormProps) {
  return (
    <Dialog title={title} wide={wide} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void onSubmit();
        }}
      >
        <div class="dialog-body form">{children}</div>
        <footer>
          <Button onPress={onClose}>Cancel</Button>
          <button type="submit" class="button main" aria-disabled={isBusy}>
            <span>{action}</span>
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

interface ConfirmProps {
  title: string;
  action: string;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  children: ComponentChildren;
}

export function Confirm({ title, action, onConfirm, onClose, children }: ConfirmProps) {
  const [failed, setFailed] = useState<string | null>(null);
  const confirm = async (): Promise<void> => {
    try {
      await onConfirm();
    } catch (error) {
      setFailed(words(error));
      return;
    }
    onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">{children}</div>
      <Wrong text={failed} />
      <footer>
        <Button onPress={onClose}>Cancel</Button>
        <Button kind="danger" onPress={confirm}>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}
