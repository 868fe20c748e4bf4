// All containers of the key's project: live, a page at a time.

import { useEffect, useRef, useState } from "preact/hooks";

import { type Items, all, ask, serverNow, words } from "../api/client";
import { expiresAt } from "../api/containers";
import type { Container, Page, Stats } from "../api/shapes";
import { bytes, duration, memoryLimit, when } from "../format";
import { useKeys } from "../keys";
import { useLoad, useNow } from "../load";
import { tell } from "../notices";
import { Button } from "../parts/button";
import { Confirm } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Meter } from "../parts/meter";
import { Wrong } from "../parts/wrong";
import { go, href } from "../route";
import { CreateContainer } from "./create";

const PAGE_SIZE = 20;
const EVERY_MS = 5000;
/** A filter looks at so many, and less often. */
const LOOKED_AT_MAX = 1000;
const LOOKED_AT_EVERY_MS = 15_000;

const STATUSES = [
  ["any", "All"],
  ["running", "Running"],
  ["expired", "Expired"],
] as const;

interface Wanted {
  name: string;
  status: (typeof STATUSES)[number][0];
}

export function Containers() {
  const [wanted, setWanted] = useState<Wanted>({ name: "", status: "any" });
  const [cursors, setCursors] = useState<string[]>([]); // the last id of each page before this one
  const [isCreating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Container | null>(null);
  const filter = useRef<HTMLInputElement>(null);
  const after = cursors.at(-1);

  const isFiltered = wanted.name.trim() !== "" || wanted.status !== "any";
  const every = isFiltered ? LOOKED_AT_EVERY_MS : EVERY_MS;
  const load = (): Promise<Found> => (isFiltered ? lookedAt() : pageAfter(after));
  const { data, error, reload } = useLoad(load, [isFiltered, isFiltered ? "" : after], every);
  const exact = useExact(wanted, data?.isCut ?? false);
  const page = data === null ? null : pageOf(data, exact, wanted, after);
  const usage = useUsage(page?.shown ?? []);
  const next = (): void => {
    if (page?.next) setCursors([...cursors, page.next]);
  };
  const want = (part: Partial<Wanted>): void => {
    setWanted({ ...wanted, ...part });
    setCursors([]);
  };
  const back = (): void => setCursors(cursors.slice(0, -1));
  useKeys({
    n: () => setCreating(true),
    "/": () => filter.current?.focus(),
    "]": next,
    "[": back,
  });

  return (
    <div class="containers">
      <div class="view-head">
        <h1>Containers</h1>
        <label class="search">
          <Icon name="search" />
          <input
            ref={filter}
            type="search"
            placeholder="Filter by name"
            aria-label="Filter by name"
            value={wanted.name}
            onInput={(event) => want({ name: event.currentTarget.value })}
          />
        </label>
        <div class="segments" role="radiogroup" aria-label="Filter by status">
          {STATUSES.map(([status, text]) => (
            <label key={status}>
              <input type="radio" name="status" checked={status === wanted.status} onChange={() => want({ status })} />
              <span>{text}</span>
            </label>
          ))}
        </div>
        <Button kind="main" icon="plus" onPress={() => setCreating(true)}>
          New container
        </Button>
      </div>
      <Wrong text={error === null ? null : words(error)} />
      {isFiltered && data?.isCut && (
        <p class="hint">Found among the newest {LOOKED_AT_MAX} containers; older ones by their whole name only.</p>
      )}
      {data === null && error === null && <Skeleton />}
      {page?.shown.length === 0 && (
        <Nothing isFiltered={isFiltered} isFirst={after === undefined} onCreate={() => setCreating(true)} />
      )}
      {page !== null && page.shown.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Status</th>
              <th scope="col">Memory</th>
              <th scope="col">Expires</th>
              <th scope="col">Network</th>
              <th scope="col">Created</th>
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {page.shown.map((one) => (
              <Row key={one.id} container={one} stats={usage.get(one.id)} onDelete={() => setDeleting(one)} />
            ))}
          </tbody>
        </table>
      )}
      {(cursors.length > 0 || page?.next) && (
        <nav class="paging" aria-label="Pages">
          <Button icon="left" disabled={cursors.length === 0} onPress={back}>
            Newer
          </Button>
          <span>Page {cursors.length + 1}</span>
          <Button icon="right" disabled={!page?.next} onPress={next}>
            Older
          </Button>
        </nav>
      )}
      {isCreating && (
        <CreateContainer
          onClose={() => setCreating(false)}
          onCreated={(made) => go({ view: "container", id: made.id, tab: "notebook" })}
        />
      )}
      {deleting && (
        <Confirm
          title={`Delete ${deleting.name}?`}
          action="Delete container"
          onClose={() => setDeleting(null)}
          onConfirm={async () => {
            await ask("DELETE", `/containers/${deleting.id}`, { title: `Delete ${deleting.name}` });
            tell(`${deleting.name} is gone.`);
            await reload();
          }}
        >
          <p>Everything that runs in it ends, and its files are gone for good.</p>
        </Confirm>
      )}
    </div>
  );
}

type Found = Items<Container> & { isFiltered: boolean };

async function pageAfter(after: string | undefined): Promise<Found> {
  const page = await ask<Page<Container>>("GET", `/containers?limit=${PAGE_SIZE}${after ? `&after=${after}` : ""}`);
  return { items: page.data, isCut: page.has_more, isFiltered: false };
}

/** The server finds whole names only, so parts of names and states are looked for here, in all that there are. */
async function lookedAt(): Promise<Found> {
  return { ...(await all<Container>("/containers", LOOKED_AT_MAX)), isFiltered: true };
}

/** Give those of exactly this name, of which some may be older than all that were looked at. */
function useExact({ name }: Wanted, isCut: boolean): readonly Container[] {
  const trimmed = name.trim();
  const load = async (): Promise<Container[]> =>
    isCut && trimmed
      ? (await ask<Page<Container>>("GET", `/containers?limit=${PAGE_SIZE}&name=${encodeURIComponent(trimmed)}`)).data
      : [];
  return useLoad(load, [trimmed, isCut]).data ?? [];
}

/** Give what a page shows, and the id that the next page comes after, if there is one. */
function pageOf(
  { items, isCut, isFiltered }: Found,
  exact: readonly Container[],
  { name, status }: Wanted,
  after: string | undefined,
): { shown: readonly Container[]; next: string | undefined } {
  const part = name.trim().toLowerCase();
  const older = exact.filter(({ id }) => !items.some((one) => one.id === id));
  const found = [...items, ...older].filter(
    (one) => one.name.toLowerCase().includes(part) && (status === "any" || one.status === status),
  );
  if (!isFiltered) return { shown: found, next: isCut ? items.at(-1)?.id : undefined };
  const rest = after === undefined ? found : found.filter(({ id }) => id < after); // ids fall with age
  return { shown: rest.slice(0, PAGE_SIZE), next: rest.length > PAGE_SIZE ? rest[PAGE_SIZE - 1]?.id : undefined };
}

/** Ask for the stats of the containers that run, which is no use of them. */
function useUsage(containers: readonly Container[]): Map<string, Stats> {
  const [found, setFound] = useState(new Map<string, Stats>());
  const ids = containers
    .filter((one) => one.status === "running")
    .map((one) => one.id)
    .join(" ");
  useEffect(() => {
    let isOver = false;
    const look = async (): Promise<void> => {
      const answers = await Promise.all(
        ids.split(" ").map((id) =>
          ask<Stats>("GET", `/containers/${id}/stats`).then(
            (stats) => [id, stats] as const,
            () => null, // it may have gone since; the list will say so
          ),
        ),
      );
      if (!isOver) setFound(new Map(answers.filter((one) => one !== null)));
    };
    if (!ids) return undefined;
    void look();
    const timer = setInterval(() => document.hidden || void look(), EVERY_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [ids]);
  return found;
}

interface RowProps {
  container: Container;
  stats: Stats | undefined;
  onDelete: () => void;
}

function Row({ container, stats, onDelete }: RowProps) {
  const { id, name, status, network_policy: policy, memory_limit: limit } = container;
  return (
    <tr class={status}>
      <th scope="row">
        <a href={href({ view: "container", id, tab: "notebook" })}>{name}</a>
        <code class="id" title={id}>
          {id.slice(0, 13)}…
        </code>
      </th>
      <td data-head="Status">
        <Status status={status} />
      </td>
      <td data-head="Memory">
        {stats ? (
          <Meter
            label={`${bytes(stats.memory.used_bytes)} of ${memoryLimit(limit)}`}
            share={stats.memory.limit_bytes ? stats.memory.used_bytes / stats.memory.limit_bytes : 0}
          />
        ) : (
          <span class="muted">{memoryLimit(limit)}</span>
        )}
      </td>
      <td data-head="Expires">
        <Expiry container={container} />
      </td>
      <td data-head="Network">{policy.type === "disabled" ? <span class="muted">none</span> : domains(policy)}</td>
      <td data-head="Created" class="muted">
        {when(container.created_at)}
      </td>
      <td class="actions">
        <Button kind="quiet" icon="trash" label={`Delete ${name}`} onPress={onDelete} />
      </td>
    </tr>
  );
}

function domains({ allowed_domains: names }: { allowed_domains: string[] }): string {
  return names.length === 1 ? (names[0] ?? "") : `${names.length} domains`;
}

export function Status({ status }: { status: Container["status"] }) {
  return <span class={`status ${status}`}>{status}</span>;
}

export function Expiry({ container }: { container: Container }) {
  const left = Math.min(expiresAt(container) - useNow(serverNow), container.expires_after.minutes * 60);
  if (container.status === "expired") return <span class="muted">–</span>;
  return (
    <span class={left < 60 ? "soon" : ""} title={`After ${container.expires_after.minutes} minutes without use`}>
      in {left < 120 ? duration(left) : duration(Math.ceil(left / 60) * 60)}
    </span>
  );
}

function Nothing({ isFiltered, isFirst, onCreate }: { isFiltered: boolean; isFirst: boolean; onCreate: () => void }) {
  if (isFiltered) return <p class="empty">No container is like this.</p>;
  if (!isFirst) return <p class="empty">There is nothing on this page any more.</p>;
  return (
    <div class="empty">
      <h2>No containers yet</h2>
      <p>A container is a sandbox with a Python that remembers, files, a terminal, and no network unless you allow some.</p>
      <Button kind="main" icon="plus" onPress={onCreate}>
        Create the first one
      </Button>
    </div>
  );
}

function Skeleton() {
  return (
    <div class="skeleton" aria-label="Loading">
      <i />
      <i />
      <i />
    </div>
  );
}
