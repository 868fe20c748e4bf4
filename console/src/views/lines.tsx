// Code for what the person has just done.

import { useState } from "preact/hooks";

import { curl, python } from "../code_lines";
import { journal } from "../journal";
import { CopyButton } from "../parts/button";
import { Dialog } from "../parts/dialog";
import { useCell } from "../store";

const LANGUAGES = ["curl", "Python"] as const;

export function Lines({ onClose }: { onClose: () => void }) {
  const done = useCell(journal);
  const [language, setLanguage] = useState<(typeof LANGUAGES)[number]>("curl");
  const base = new URL(".", location.href).href.replace(/\/$/, "");
  return (
    <Dialog title="What was just done, as code" wide onClose={onClose}>
      <div class="dialog-body lines">
        <div class="segments" role="radiogroup" aria-label="Language">
          {LANGUAGES.map((one) => (
            <label key={one}>
              <input type="radio" name="language" checked={one === language} onChange={() => setLanguage(one)} />
              <span>{one}</span>
            </label>
          ))}
        </div>
        <p class="hint">
          The newest first. Your key is left out: put it into the variable <code>ATOLL_API_KEY</code>.
        </p>
        {done.length === 0 && <p class="empty">Nothing yet. Create a container or run a cell, and look here again.</p>}
        {done.map((one) => {
          const text = language === "curl" ? curl(one, base) : python(one, base);
          return (
            <section key={one.number}>
              <header>
                <h3>{one.title}</h3>
                <CopyButton text={text} label={`Copy: ${one.title}`} />
              </header>
              <pre tabIndex={0}>{text}</pre>
            </section>
          );
        })}
      </div>
    </Dialog>
  );
}
