// The editor of a cell. Loaded when there is one to show.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, keymap } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

export interface EditorActions {
  onChange: (code: string) => void;
  onRun: (goOn: boolean) => void;
  onLeave: () => void;
}

export interface Editor {
  focus: () => void;
  destroy: () => void;
}

export function makeEditor(parent: HTMLElement, code: string, label: string, actions: EditorActions): Editor {
  const does = (action: () => void) => () => {
    action();
    return true;
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: code,
      extensions: [
        keymap.of([
          { key: "Shift-Enter", run: does(() => actions.onRun(true)) },
          { key: "Mod-Enter", run: does(() => actions.onRun(false)) },
          { key: "Escape", run: does(actions.onLeave) },
          indentWithTab,
          ...historyKeymap,
          ...defaultKeymap,
        ]),
        history(),
        drawSelection(),
        bracketMatching(),
        indentUnit.of("    "),
        python(),
        syntaxHighlighting(classHighlighter),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", autocapitalize: "off" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) actions.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return { focus: () => view.focus(), destroy: () => view.destroy() };
}
