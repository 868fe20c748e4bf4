// The notebooks that are open on this page. They outlive their view: code goes on while another view is looked at.

import { type Cell, emptyCell, isBusy, keep, kept } from "./cells";
import { key } from "./session";
import { Cell as Shown } from "./store";

export type Notebook = Shown<readonly Cell[]>;

const notebooks = new Map<string, Notebook>();

export function notebookOf(containerId: string): Notebook {
  const found = notebooks.get(containerId);
  if (found) return found;
  const name = `atoll.notebook.${containerId}`;
  const made: Notebook = new Shown(kept(name) ?? [emptyCell(1)]);
  made.subscribe((cells) => notebooks.get(containerId) === made && keep(name, cells));
  notebooks.set(containerId, made);
  return made;
}

key.subscribe(() => notebooks.clear());

/** Leaving the page hangs up on what runs, which stops it: the browser asks first. */
addEventListener("beforeunload", (event) => {
  if ([...notebooks.values()].some((notebook) => notebook.get().some(isBusy))) event.preventDefault();
});
