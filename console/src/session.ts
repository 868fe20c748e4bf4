// The key that the person has typed in: kept for this tab, or in this browser when they ask for it; nowhere else.

import { Cell } from "./store";

const NAME = "atoll.key";

function kept(): string | null {
  return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
}

export const key = new Cell<string | null>(kept());

/** Why the person was asked for a key again, when it was not their wish. */
export const signedOutBecause = new Cell<string | null>(null);

export function signIn(secret: string, keep: boolean): void {
  (keep ? localStorage : sessionStorage).setItem(NAME, secret);
  signedOutBecause.set(null);
  key.set(secret);
}

export function signOut(because: string | null = null): void {
  sessionStorage.clear(); // the drafts of notebooks, too: they belong to whoever had the key
  localStorage.removeItem(NAME);
  signedOutBecause.set(because);
  key.set(null);
}
