// What the keyboard does.

import { Dialog } from "../parts/dialog";

const GROUPS: [string, [string, string][]][] = [
  [
    "Everywhere",
    [
      ["?", "this list"],
      ["c", "code for what was just done"],
      ["Esc", "close what is open"],
    ],
  ],
  [
    "Containers",
    [
      ["n", "new container"],
      ["/", "filter by name"],
      ["[ ]", "page before, page after"],
    ],
  ],
  [
    "A container",
    [
      ["1 … 5", "notebook, files, terminal, network, activity"],
      ["← →", "tabs, when one of them has the focus"],
      ["u", "back to all containers"],
    ],
  ],
  [
    "Notebook",
    [
      ["Shift+Enter", "run the cell, go to the next"],
      ["Ctrl+Enter", "run the cell, stay in it"],
      ["Esc", "leave the cell: Tab moves on from it"],
    ],
  ],
  ["Terminal", [["Ctrl+Shift+↑", "leave the terminal: Tab is the shell’s"]]],
];

export function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <div class="dialog-body shortcuts">
        {GROUPS.map(([title, entries]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {entries.map(([keys, what]) => (
                <div key={keys}>
                  <dt>
                    <kbd>{keys}</kbd>
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
