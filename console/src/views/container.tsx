// One container: its head, and tabs that stay alive while another one is looked at.

import { useEffect, useRef, useState } from "preact/hooks";

import { ask, words } from "../api/client";
import { look } from "../api/containers";
import { watch } from "../api/events";
import type { Container, ContainerEvent } from "../api/shapes";
import { memoryLimit } from "../format";
import { useKeys } from "../keys";
import { useLoad, useSoon } from "../load";
import { tell } from "../notices";
import { Button, CopyButton } from "../parts/button";
import { Confirm } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Panel, Tabs } from "../parts/tabs";
import { Wrong } from "../parts/wrong";
import { TABS, type Tab, go, href } from "../route";
import { Activity } from "./activity";
import { ChangeContainer } from "./change";
import { Expiry, Status } from "./containers";
import { Files } from "./files";
import { Network } from "./network";
import { Notebook } from "./notebook";
import { Terminals } from "./terminals";

const EVERY_MS = 10_000;
const EVENTS_KEPT = 500;
const GATHERED_MS = 50;
const NAMES: Record<Tab, string> = {
  notebook: "Notebook",
  files: "Files",
  terminal: "Terminal",
  network: "Network",
  activity: "Activity",
};
const CHANGES = new Set(["container.updated", "container.expired", "container.deleted", "container.expiring", "call.ended"]);

export function ContainerView({ id, tab }: { id: string; tab: Tab }) {
  const { data, error, reload } = useLoad(async () => ({ found: await look(id) }), [id], EVERY_MS);
  const reloadSoon = useSoon(reload);
  const events = useEvents(id, (event) => CHANGES.has(event.type) && reloadSoon());
  const [shown, setShown] = useState<"change" | "delete" | null>(null);
  const visited = useRef(new Set<Tab>());
  visited.current.add(tab);
  const choose = (to: Tab): void => go({ view: "container", id, tab: to });
  useKeys({
    u: () => go({ view: "containers" }),
    ...Object.fromEntries(TABS.map((name, index) => [String(index + 1), () => choose(name)])),
  });
  const container = data?.found ?? null;
  useEffect(() => {
    if (container) document.title = `${container.name} – Atoll`;
  }, [container?.name]);

  if (data?.found === null || (data === null && error !== null)) {
    return (
      <div class="empty">
        <h1>{data !== null ? "This container is gone" : "This container cannot be shown"}</h1>
        <p>{data !== null ? "It was deleted, or belongs to another key’s project." : words(error)}</p>
        <a class="button main" href={href({ view: "containers" })}>
          All containers
        </a>
      </div>
    );
  }
  if (container === null) return <p class="muted">Loading…</p>;
  const isRunning = container.status === "running";
  return (
    <div class="container">
      <div class="view-head">
        <a class="up" href={href({ view: "containers" })} aria-label="All containers">
          <Icon name="left" />
        </a>
        <div class="title">
          <h1>{container.name}</h1>
          <p class="facts">
            <Status status={container.status} />
            <span>{memoryLimit(container.memory_limit)}</span>
            {isRunning && (
              <span>
                expires <Expiry container={container} />
              </span>
            )}
            <span class="with-copy">
              <code>{id.slice(0, 13)}…</code>
              <CopyButton text={id} label="Copy the id" />
            </span>
          </p>
        </div>
        <Button kind="quiet" icon="pencil" label="Change name and expiry" disabled={!isRunning} onPress={() => setShown("change")} />
        <Button kind="quiet" icon="trash" label="Delete this container" onPress={() => setShown("delete")} />
      </div>
      <Wrong text={error === null ? null : `This container could not be asked after: ${words(error)}`} />
      {!isRunning && (
        <p class="banner">This container has expired: its files and variables are gone, and nothing can be run in it.</p>
      )}
      {isRunning && (
        <Tabs label="Container" tabs={TABS.map((name) => [name, NAMES[name]] as const)} chosen={tab} onChoose={choose} />
      )}
      {isRunning &&
        TABS.filter((name) => visited.current.has(name)).map((name) => (
          <Panel key={name} name={name} isShown={name === tab}>
            <View name={name} isShown={name === tab} container={container} events={events} reload={reload} />
          </Panel>
        ))}
      {shown === "change" && (
        <ChangeContainer container={container} onClose={() => setShown(null)} onChanged={() => void reload()} />
      )}
      {shown === "delete" && (
        <Confirm
          title={`Delete ${container.name}?`}
          action="Delete container"
          onClose={() => setShown(null)}
          onConfirm={async () => {
            await ask("DELETE", `/containers/${id}`, { title: `Delete ${container.name}` });
            tell(`${container.name} is gone.`);
            go({ view: "containers" });
          }}
        >
          <p>Everything that runs in it ends, and its files are gone for good.</p>
        </Confirm>
      )}
    </div>
  );
}

export interface TabProps {
  container: Container;
  isShown: boolean;
  /** What has happened, the oldest first. */
  events: readonly ContainerEvent[];
  reload: () => Promise<void>;
}

function View({ name, ...props }: TabProps & { name: Tab }) {
  switch (name) {
    case "notebook":
      return <Notebook {...props} />;
    case "files":
      return <Files {...props} />;
    case "terminal":
      return <Terminals {...props} />;
    case "network":
      return <Network {...props} />;
    case "activity":
      return <Activity {...props} />;
  }
}

/** Those that come together, as all that are kept do at first, are shown together. */
function useEvents(id: string, told: (event: ContainerEvent) => void): readonly ContainerEvent[] {
  const [events, setEvents] = useState<readonly ContainerEvent[]>([]);
  const listener = useRef(told);
  listener.current = told;
  useEffect(() => {
    let come: ContainerEvent[] = [];
    let timer = 0;
    const show = (): void => {
      const added = come;
      come = [];
      timer = 0;
      setEvents((before) => [...before, ...added].slice(-EVENTS_KEPT));
    };
    const unwatch = watch(id, (event) => {
      come.push(event);
      if (timer === 0) timer = window.setTimeout(show, GATHERED_MS);
      listener.current(event);
    });
    return () => {
      clearTimeout(timer);
      unwatch();
    };
  }, [id]);
  return events;
}
