// The terminals of a container, side by side as tabs.

import { useEffect, useRef, useState } from "preact/hooks";

import { ask, words } from "../api/client";
import type { Terminal } from "../api/shapes";
import { useLoad } from "../load";
import { Button } from "../parts/button";
import { Wrong } from "../parts/wrong";
import { piece } from "../pieces";
import type { TerminalState, TerminalView } from "../terminal";
import type { TabProps } from "./container";

/** One on the page; `id` is the server's, once it is known. */
interface Open {
  number: number;
  id: string | null;
}

export function Terminals({ container, isShown }: TabProps) {
  const path = `/containers/${container.id}/terminals`;
  const [open, setOpen] = useState<readonly Open[] | null>(null);
  const [chosen, setChosen] = useState(0);
  const numbers = useRef(0);
  const next = (): number => {
    numbers.current += 1;
    return numbers.current;
  };
  // Asked until there is an answer. After that the page knows its own terminals, and others stay where they are.
  const { data, error, reload } = useLoad(() => ask<{ data: Terminal[] }>("GET", path), [container.id]);
  useEffect(() => {
    if (open !== null || data === null) return;
    const found: Open[] = data.data.map(({ id }) => ({ number: next(), id }));
    if (found.length === 0) found.push({ number: next(), id: null });
    setOpen(found);
    setChosen(found[0]?.number ?? 0);
  }, [data]);

  const add = (): void => {
    const number = next();
    setOpen((before) => [...(before ?? []), { number, id: null }]);
    setChosen(number);
  };
  const close = async ({ number, id }: Open): Promise<void> => {
    const left = (open ?? []).filter((one) => one.number !== number);
    setOpen(left);
    if (number === chosen) setChosen(left.at(-1)?.number ?? 0);
    if (id !== null) await ask("DELETE", `${path}/${id}`, { title: "Close a terminal" });
  };

  if (open === null && error === null) return <p class="muted">Loading…</p>;
  if (open === null) {
    return (
      <>
        <Wrong text={words(error)} />
        <Button onPress={reload}>Try again</Button>
      </>
    );
  }
  return (
    <>
      <div class="toolbar terminals" role="group" aria-label="Terminals">
        {open.map((one) => (
          <span key={one.number} class={`chip${one.number === chosen ? " chosen" : ""}`}>
            <button type="button" aria-pressed={one.number === chosen} onClick={() => setChosen(one.number)}>
              Terminal {one.number}
            </button>
            <Button
              kind="quiet"
              small
              icon="close"
              label={`Close terminal ${one.number}`}
              onPress={() => close(one)}
            />
          </span>
        ))}
        <Button kind="quiet" small icon="plus" onPress={add}>
          New terminal
        </Button>
      </div>
      {open.length === 0 && (
        <div class="empty">
          <h2>No terminal is open</h2>
          <p>A terminal is a shell in the container. It goes on while nobody looks at it.</p>
          <Button kind="main" icon="plus" onPress={add}>
            Open one
          </Button>
        </div>
      )}
      {open.map((one) => (
        <Screen
          key={one.number}
          containerId={container.id}
          terminalId={one.id}
          number={one.number}
          isShown={isShown && one.number === chosen}
          onId={(id) =>
            setOpen((before) => (before ?? []).map((other) => (other.number === one.number ? { ...other, id } : other)))
          }
        />
      ))}
    </>
  );
}

interface ScreenProps {
  containerId: string;
  terminalId: string | null;
  number: number;
  isShown: boolean;
  onId: (id: string | null) => void;
}

function Screen({ containerId, terminalId, number, isShown, onId }: ScreenProps) {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<TerminalView | null>(null);
  const [state, setState] = useState<TerminalState>({ kind: "connecting" });
  const [isBegun, setBegun] = useState(false);

  // It begins when it is first seen: before, there is no size to tell the shell.
  useEffect(() => {
    if (isShown) setBegun(true);
    if (isShown) view.current?.focus();
  }, [isShown]);
  useEffect(() => {
    if (!isBegun) return undefined;
    let isOver = false;
    piece(import("../terminal")).then(
      (module) => {
        if (isOver || !parent.current) return;
        view.current = new module.TerminalView(parent.current, {
          containerId,
          terminalId,
          onState: (next) => {
            setState(next);
            if (next.kind === "connected") onId(next.id);
            if (next.kind === "ended") onId(next.id);
          },
          onLeave: () => document.getElementById("tab-terminal")?.focus(),
        });
        view.current.focus();
      },
      (error) => isOver || setState({ kind: "broken", why: words(error) }),
    );
    return () => {
      isOver = true;
      view.current?.close();
      view.current = null;
    };
  }, [isBegun]);

  const again = (): void => {
    view.current?.connect();
    view.current?.focus();
  };

  return (
    <div class="screen" hidden={!isShown}>
      {(state.kind === "broken" || state.kind === "ended") && (
        <div class="banner" role="alert">
          <span>{state.why}</span>
          {state.kind === "ended" && (
            <Button small onPress={again}>
              {state.again}
            </Button>
          )}
        </div>
      )}
      <div class={`xterm-place ${state.kind}`} ref={parent} aria-label={`Terminal ${number}`} role="region" />
    </div>
  );
}
