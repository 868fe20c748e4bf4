// Short messages about what was done or could not be done.

import { words } from "./api/client";
import { Cell } from "./store";

export interface Notice {
  number: number;
  kind: "good" | "bad";
  text: string;
}

const SHOWN_MS = { good: 4000, bad: 12_000 };
let number = 0;

export const notices = new Cell<readonly Notice[]>([]);

export function tell(text: string, kind: Notice["kind"] = "good"): void {
  number += 1;
  const notice = { number, kind, text };
  notices.set([...notices.get(), notice]);
  setTimeout(() => dismiss(notice.number), SHOWN_MS[kind]);
}

export function tellError(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  tell(words(error), "bad");
}

export function dismiss(which: number): void {
  notices.set(notices.get().filter((one) => one.number !== which));
}
