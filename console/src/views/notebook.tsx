// Python in the container, cell by cell; its variables live on between them.

import { useEffect, useRef, useState } from "preact/hooks";

import { AwayError, ask, send, words } from "../api/client";
import type { Output, PythonEvent } from "../api/shapes";
import { readEvents } from "../api/sse";
import { type Cell, type CellState, broken, emptyCell, isBusy, started, taken } from "../cells";
import type { Editor } from "../editor";
import { shortPath, took } from "../format";
import { notebookOf } from "../notebooks";
import { tell } from "../notices";
import { Button } from "../parts/button";
import { HtmlFrame } from "../parts/html_frame";
import { Wrong } from "../parts/wrong";
import { piece } from "../pieces";
import { href } from "../route";
import { useCell } from "../store";
import type { TabProps } from "./container";

const CUT_OFF = "The connection broke off before the end, which interrupts what runs.";
const EXAMPLE = `import pandas as pd

pd.DataFrame({"reef": ["Bikini", "Kwajalein", "Majuro"], "islands": [23, 97, 64]})`;

export function Notebook({ container }: TabProps) {
  const notebook = notebookOf(container.id);
  const cells = useCell(notebook);
  const setCells = (to: (all: readonly Cell[]) => readonly Cell[]): void => notebook.set(to(notebook.get()));
  const editors = useRef(new Map<number, Editor>());
  const wantsFocus = useRef<number | null>(null); // a cell whose editor is not there yet

  const change = (id: number, to: (cell: Cell) => Cell): void =>
    setCells((all) => all.map((cell) => (cell.id === id ? to(cell) : cell)));
  const addAfter = (id: number | null, code = ""): number => {
    const added = emptyCell(Math.max(0, ...notebook.get().map((cell) => cell.id)) + 1, code);
    setCells((all) => {
      const at = id === null ? all.length : all.findIndex((cell) => cell.id === id) + 1;
      return [...all.slice(0, at), added, ...all.slice(at)];
    });
    return added.id;
  };
  const remove = (id: number): void => {
    setCells((all) => (all.length === 1 ? [emptyCell(id + 1)] : all.filter((cell) => cell.id !== id)));
  };

  /** Run a cell; tells whether Python is done with it, and neither it nor anybody else has stopped it. */
  const run = async (id: number): Promise<boolean> => {
    const find = (): Cell | undefined => notebook.get().find((one) => one.id === id);
    const cell = find();
    if (!cell?.code.trim()) return true;
    if (isBusy(cell)) return false;
    change(id, started);
    try {
      const answer = await send("POST", `/containers/${container.id}/code_interpreter_calls`, {
        body: { code: cell.code, html: true, stream: true },
        title: "Run Python",
      });
      if (answer.body) {
        for await (const { data } of readEvents(answer.body)) {
          const event = JSON.parse(data) as PythonEvent;
          change(id, (one) => taken(one, event, Date.now()));
        }
      }
      change(id, (one) => (isBusy(one) ? broken(one, CUT_OFF) : one));
    } catch (error) {
      const trouble = error instanceof TypeError ? CUT_OFF : words(error);
      change(id, (one) => broken(one, error instanceof AwayError ? `${trouble} Run it again when it is back.` : trouble));
    }
    return find()?.state === "completed";
  };
  const runAndGoOn = (id: number): void => {
    void run(id);
    const at = notebook.get().findIndex((cell) => cell.id === id);
    const next = notebook.get()[at + 1]?.id ?? addAfter(id);
    const editor = editors.current.get(next);
    if (editor) editor.focus();
    else wantsFocus.current = next;
  };
  const runAll = async (): Promise<void> => {
    for (const { id } of notebook.get()) {
      if (!(await run(id))) return;
    }
  };

  const isAnyBusy = cells.some(isBusy);
  const isFresh = cells.length === 1 && cells[0]?.code === "" && cells[0].state === "idle";
  return (
    <>
      <div class="toolbar">
        <Button icon="play" small disabled={isAnyBusy} onPress={runAll}>
          Run all
        </Button>
        <Button icon="stop" small disabled={!isAnyBusy} onPress={() => interrupt(container.id)}>
          Interrupt
        </Button>
        <Button icon="restart" small onPress={() => restart(container.id)}>
          Restart
        </Button>
        <span class="hint by-keyboard">Shift+Enter runs a cell</span>
      </div>
      {cells.map((cell, index) => (
        <CellView
          key={cell.id}
          cell={cell}
          number={index + 1}
          containerId={container.id}
          register={(editor) => {
            if (editor) editors.current.set(cell.id, editor);
            else editors.current.delete(cell.id);
            if (editor && wantsFocus.current === cell.id) {
              wantsFocus.current = null;
              editor.focus();
            }
          }}
          onChange={(code) => change(cell.id, (one) => ({ ...one, code }))}
          onRun={(goOn) => (goOn ? runAndGoOn(cell.id) : void run(cell.id))}
          onRemove={() => remove(cell.id)}
        />
      ))}
      <div class="add-cell">
        <Button
          kind="quiet"
          small
          icon="plus"
          onPress={() => {
            wantsFocus.current = addAfter(null);
          }}
        >
          Add a cell
        </Button>
        {isFresh && (
          <Button kind="quiet" small icon="code" onPress={() => setCells(() => [emptyCell(2, EXAMPLE)])}>
            Begin with an example
          </Button>
        )}
      </div>
    </>
  );
}

async function interrupt(id: string): Promise<void> {
  const answer = await ask<{ interrupted: boolean }>("POST", `/containers/${id}/interrupt`, { title: "Interrupt" });
  if (!answer.interrupted) tell("Nothing was running.");
}

async function restart(id: string): Promise<void> {
  await ask("POST", `/containers/${id}/restart`, { title: "Restart" });
  tell("Restarted: variables are gone, files are kept.");
}

interface CellProps {
  cell: Cell;
  number: number;
  containerId: string;
  register: (editor: Editor | null) => void;
  onChange: (code: string) => void;
  onRun: (goOn: boolean) => void;
  onRemove: () => void;
}

const STATES: Record<CellState, string> = {
  idle: "",
  waiting: "waiting for its turn",
  running: "running",
  completed: "done",
  incomplete: "stopped",
  failed: "Python ended",
  broken: "broken off",
};

function CellView({ cell, number, containerId, register, onChange, onRun, onRemove }: CellProps) {
  const runner = useRef<HTMLDivElement>(null);
  const busy = isBusy(cell);
  return (
    <article class={`cell ${cell.state}`} aria-label={`Cell ${number}`} aria-busy={busy}>
      <div class="cell-head">
        <div ref={runner}>
          <Button
            kind="quiet"
            small
            icon="play"
            label={`Run cell ${number}`}
            disabled={busy}
            onPress={() => onRun(false)}
          />
        </div>
        <span class="cell-state" role="status">
          {STATES[cell.state]}
          {cell.tookMs !== undefined && !busy && <span class="muted"> {took(cell.tookMs)}</span>}
        </span>
        <Button kind="quiet" small icon="trash" label={`Remove cell ${number}`} disabled={busy} onPress={onRemove} />
      </div>
      <Code
        code={cell.code}
        label={`Code of cell ${number}`}
        register={register}
        onChange={onChange}
        onRun={onRun}
        onLeave={() => runner.current?.querySelector("button")?.focus()}
      />
      {(cell.outputs.length > 0 || cell.trouble) && (
        <div class="outputs">
          {cell.outputs.map((output, index) => (
            <OutputView key={index} output={output} title={`Output ${index + 1} of cell ${number}`} />
          ))}
          {cell.trouble && <p class="failure">{cell.trouble}</p>}
        </div>
      )}
      {cell.files.length > 0 && (
        <p class="made">
          Wrote{" "}
          {cell.files.map((path) => (
            <a key={path} href={href({ view: "container", id: containerId, tab: "files" })}>
              {shortPath(path)}
            </a>
          ))}
        </p>
      )}
    </article>
  );
}

function OutputView({ output, title }: { output: Output; title: string }) {
  switch (output.type) {
    case "logs":
      return (
        <pre class="logs" tabIndex={0} aria-label={title}>
          {output.logs}
        </pre>
      );
    case "image":
      return output.url.startsWith("data:image/") ? <img class="figure" src={output.url} alt={title} /> : null;
    case "html":
      return <HtmlFrame html={output.html} title={title} />;
  }
}

interface CodeProps {
  code: string;
  label: string;
  register: (editor: Editor | null) => void;
  onChange: (code: string) => void;
  onRun: (goOn: boolean) => void;
  onLeave: () => void;
}

function Code(props: CodeProps) {
  const parent = useRef<HTMLDivElement>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const now = useRef(props);
  now.current = props;
  useEffect(() => {
    let editor: Editor | null = null;
    let isOver = false;
    const show = ({ makeEditor }: typeof import("../editor")): void => {
      if (isOver || !parent.current) return;
      const hadFocus = document.activeElement === document.body;
      editor = makeEditor(parent.current, now.current.code, now.current.label, {
        onChange: (code) => now.current.onChange(code),
        onRun: (goOn) => now.current.onRun(goOn),
        onLeave: () => now.current.onLeave(),
      });
      now.current.register(editor);
      if (hadFocus) editor.focus();
    };
    piece(import("../editor")).then(show, (error) => isOver || setFailed(words(error)));
    return () => {
      isOver = true;
      now.current.register(null);
      editor?.destroy();
    };
  }, []);
  return (
    <>
      <Wrong text={failed} />
      <div class="code" ref={parent} hidden={failed !== null} />
    </>
  );
}
