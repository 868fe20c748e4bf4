// Tabs as the ARIA practices have them: arrows go from one to the next, and only the chosen one is in the Tab order.

import type { ComponentChildren } from "preact";

interface Props<T extends string> {
  label: string;
  tabs: readonly (readonly [T, ComponentChildren])[];
  chosen: T;
  onChoose: (tab: T) => void;
}

export function Tabs<T extends string>({ label, tabs, chosen, onChoose }: Props<T>) {
  const pressed = (event: KeyboardEvent): void => {
    const at = tabs.findIndex(([name]) => name === chosen);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    if (!next) return;
    onChoose(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={pressed}>
      {tabs.map(([name, text]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-selected={name === chosen}
          aria-controls={`panel-${name}`}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => onChoose(name)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

interface PanelProps {
  name: string;
  isShown: boolean;
  children: ComponentChildren;
}

export function Panel({ name, isShown, children }: PanelProps) {
  return (
    <section class={`panel ${name}`} role="tabpanel" id={`panel-${name}`} aria-labelledby={`tab-${name}`} hidden={!isShown}>
      {children}
    </section>
  );
}
