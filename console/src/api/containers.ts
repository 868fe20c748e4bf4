// Looks at containers that are no use of them: a console that is left open must not keep a container from expiring.

import { ask } from "./client";
import type { Container, Page } from "./shapes";

const DIGITS = 48;
const ID = /^cntr_[0-9a-f]{48}$/;

/** Give a container as it is now, or nothing when it is gone. Retrieving it would count as use; listing does not. */
export async function look(id: string): Promise<Container | null> {
  if (!ID.test(id)) return null;
  const number = BigInt(`0x${id.replace(/^cntr_/, "")}`);
  const before = `cntr_${(number - 1n).toString(16).padStart(DIGITS, "0")}`;
  const page = await ask<Page<Container>>("GET", `/containers?limit=1&order=asc&after=${before}`);
  const found = page.data[0];
  return found?.id === id ? found : null;
}

/** When it expires, in seconds since 1970. */
export function expiresAt(container: Container): number {
  return container.last_active_at + container.expires_after.minutes * 60;
}
