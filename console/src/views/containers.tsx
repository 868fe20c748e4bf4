// All containers of the key's project: live, a page at a time.

import { useEffect, useRef, useState } from "preact/hooks";

import { ask, serverNow, words } from "../api/client";
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

export function Containers() {
  const [wanted, setWanted] = useState("");
  const [cursors, setCursors] = useState<string[]>([]); // the last id of each page before this one
  const [isCreating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Container | null>(null);
  const filter = useRef<HTMLInputElement>(null);
  const after = cursors.at(-1);

  const { data, error, reload } = useLoad(() => load(wanted, after), [wanted, after], EVERY_MS);
  const usage = useUsage(data?.shown ?? []);
  const page = data?.page ?? null;
  const next = (): void => {
    if (page?.has_more && page.last_id) setCursors([...cursors, page.last_id]);
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
            value={wanted}
            onInput={(event) => {
              setWanted(event.currentTarget.value);
              setCursors([]);
            }}
          />
        </label>
        <Button kind="main" icon="plus" onPress={() => setCreating(true)}>
          New container
        </Button>
      </div>
      <Wrong text={error === null ? null : words(error)} />
      {data?.isPartial && data.shown.length > 0 && (
        <p class="hint">No container is named exactly “{wanted}”. These of this page have it in their name.</p>
      )}
      {data === null && error === null && <Skeleton />}
      {data !== null && data.shown.length === 0 && (
        <Nothing wanted={wanted} isFirst={after === undefined} onCreate={() => setCreating(true)} />
      )}
      {data !== null && data.shown.length > 0 && (
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
            {data.shown.map((one) => (
              <Row key={one.id} container={one} stats={usage.get(one.id)} onDelete={() => setDeleting(one)} />
            ))}
          </tbody>
        </table>
      )}
      {(cursors.length > 0 || page?.has_more) && (
        <nav class="paging" aria-label="Pages">
          <Button icon="left" disabled={cursors.length === 0} onPress={back}>
            Newer
          </Button>
          <span>Page {cursors.length + 1}</span>
          <Button icon="right" disabled={!page?.has_more} onPress={next}>
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

interface Found {
  page: Page<Container>;
  shown: Container[];
  isPartial: boolean;
}

/** The server finds exact names anywhere; parts of names are looked for on the page only. */
async function load(wanted: string, after: string | undefined): Promise<Found> {
  const query = `limit=${PAGE_SIZE}${after ? `&after=${after}` : ""}`;
  const name = wanted.trim();
  if (name) {
    const exact = await ask<Page<Container>>("GET", `/containers?${query}&name=${encodeURIComponent(name)}`);
    if (exact.data.length > 0) return { page: exact, shown: exact.data, isPartial: false };
  }
  const page = await ask<Page<Container>>("GET", `/containers?${query}`);
  const shown = page.data.filter((one) => one.name.toLowerCase().includes(name.toLowerCase()));
  return { page, shown, isPartial: name !== "" };
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

function Nothing({ wanted, isFirst, onCreate }: { wanted: string; isFirst: boolean; onCreate: () => void }) {
  if (wanted) return <p class="empty">No container on this page has “{wanted}” in its name, and none anywhere is named so.</p>;
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
