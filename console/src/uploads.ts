// Uploads to containers: a few at a time, the others in turn. They outlive their view, and end with the page.

import { words } from "./api/client";
import { type Uploading, upload } from "./api/upload";
import { isAway, returns } from "./connection";
import { key } from "./session";
import { Cell } from "./store";

/** Browsers have six connections to a server, and the page has other use for some. */
const AT_ONCE = 3;

export interface Upload {
  number: number;
  name: string;
  state: "waiting" | "running" | "failed";
  share: number;
  /** Why it failed. */
  why?: string;
}

interface Waiting {
  uploads: Uploads;
  number: number;
  file: File;
}

let uploadsSoFar = 0;
let waiting: Waiting[] = [];
const running = new Map<number, Uploading<unknown>>();
const all = new Map<string, Uploads>();

/** Those to one container. */
export class Uploads {
  readonly shown = new Cell<readonly Upload[]>([]);
  /** How many have arrived. */
  readonly arrived = new Cell(0);

  constructor(readonly path: string) {}

  put(files: Iterable<File>): void {
    const added = [...files].map((file) => ({ uploads: this, number: ++uploadsSoFar, file }));
    waiting.push(...added);
    this.shown.set([
      ...this.shown.get(),
      ...added.map(({ number, file }): Upload => ({ number, name: file.name, state: "waiting", share: 0 })),
    ]);
    next();
  }

  refuse(name: string, why: string): void {
    uploadsSoFar += 1;
    this.shown.set([...this.shown.get(), { number: uploadsSoFar, name, state: "failed", share: 0, why }]);
  }

  /** Stop one that runs, forget one that waits or has failed. */
  drop(number: number): void {
    waiting = waiting.filter((one) => one.number !== number);
    running.get(number)?.cancel();
    this.change(number, null);
  }

  dropWaiting(): void {
    waiting = waiting.filter((one) => one.uploads !== this);
    this.shown.set(this.shown.get().filter(({ state }) => state !== "waiting"));
  }

  change(number: number, part: Partial<Upload> | null): void {
    this.shown.set(
      this.shown.get().flatMap((one) => (one.number === number ? (part ? [{ ...one, ...part }] : []) : [one])),
    );
  }
}

export function uploadsOf(containerId: string): Uploads {
  const found = all.get(containerId) ?? new Uploads(`/containers/${containerId}/files`);
  all.set(containerId, found);
  return found;
}

function next(): void {
  while (running.size < AT_ONCE && !isAway.get()) {
    const first = waiting.shift();
    if (!first) return;
    void run(first);
  }
}

async function run({ uploads, number, file }: Waiting): Promise<void> {
  const begun = upload(uploads.path, file, `Upload ${file.name}`, {}, (share) => uploads.change(number, { share }));
  running.set(number, begun);
  uploads.change(number, { state: "running" });
  try {
    await begun.done;
    uploads.change(number, null);
    uploads.arrived.set(uploads.arrived.get() + 1);
  } catch (error) {
    const wasStopped = error instanceof DOMException;
    uploads.change(number, wasStopped ? null : { state: "failed", why: words(error) });
  } finally {
    running.delete(number);
    next();
  }
}

returns.subscribe(next);

/** What somebody else's key has begun does not go on under this one. */
key.subscribe(() => {
  waiting = [];
  for (const one of running.values()) one.cancel();
  all.clear();
});

/** Leaving the page would break them off: the browser asks first. */
addEventListener("beforeunload", (event) => {
  if (running.size + waiting.length > 0) event.preventDefault();
});
