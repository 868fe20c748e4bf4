// Another name, another expiry.

import { useState } from "preact/hooks";

import { ask, words } from "../api/client";
import type { Container, ContainerChange } from "../api/shapes";
import { tell } from "../notices";
import { FormDialog } from "../parts/dialog";
import { MinutesField } from "../parts/minutes_field";
import { Wrong } from "../parts/wrong";

interface Props {
  container: Container;
  onClose: () => void;
  onChanged: () => void;
}

export function ChangeContainer({ container, onClose, onChanged }: Props) {
  const [name, setName] = useState(container.name);
  const [minutes, setMinutes] = useState(String(container.expires_after.minutes));
  const [failed, setFailed] = useState<string | null>(null);
  const submit = async (): Promise<void> => {
    const body: ContainerChange = {};
    if (name.trim() !== container.name) body.name = name.trim();
    if (Number(minutes) !== container.expires_after.minutes) {
      body.expires_after = { anchor: "last_active_at", minutes: Number(minutes) };
    }
    try {
      await ask("POST", `/containers/${container.id}`, { body, title: `Change ${container.name}` });
    } catch (error) {
      setFailed(words(error));
      return;
    }
    tell("Changed.");
    onChanged();
    onClose();
  };
  return (
    <FormDialog title="Change the container" action="Save" onSubmit={submit} onClose={onClose}>
      <label class="field">
        <span>Name</span>
        <input name="name" autofocus value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <MinutesField value={minutes} onChange={setMinutes} />
      <Wrong text={failed} />
    </FormDialog>
  );
}
