// A new container, with everything that can be said about one.

import { useRef, useState } from "preact/hooks";

import { RefusedError, all, ask, words } from "../api/client";
import { upload } from "../api/upload";
import { type Container, MEMORY_LIMITS, type MemoryLimit, type NewContainer, type ProjectFile } from "../api/shapes";
import { bytes, memoryLimit } from "../format";
import { useLoad } from "../load";
import { Button } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { Wrong } from "../parts/wrong";
import { type PolicyDraft, PolicyFields, emptyPolicy, policyOf } from "./policy_fields";

const PURPOSE = { purpose: "user_data" };

export function CreateContainer({ onClose, onCreated }: { onClose: () => void; onCreated: (made: Container) => void }) {
  const [name, setName] = useState("");
  const [memory, setMemory] = useState<MemoryLimit>("1g");
  const [minutes, setMinutes] = useState("");
  const [policy, setPolicy] = useState<PolicyDraft>(emptyPolicy);
  const [fileIds, setFileIds] = useState<readonly string[]>([]);
  const [failed, setFailed] = useState<RefusedError | Error | null>(null);
  const [isBusy, setBusy] = useState(false);

  const submit = async (): Promise<void> => {
    if (isBusy) return;
    setBusy(true);
    setFailed(null);
    const body: NewContainer = { name: name.trim(), memory_limit: memory };
    if (minutes) body.expires_after = { anchor: "last_active_at", minutes: Number(minutes) };
    if (fileIds.length > 0) body.file_ids = [...fileIds];
    if (policy.isAllowlist) body.network_policy = policyOf(policy);
    try {
      if (!body.name) throw new RefusedError(400, "Give it a name; it need not be the only one of that name.", null, "name");
      const made = await ask<Container>("POST", "/containers", { body, title: `Create ${body.name}` });
      onClose();
      onCreated(made);
    } catch (error) {
      setFailed(error instanceof Error ? error : new Error(words(error)));
      setBusy(false);
    }
  };
  const param = failed instanceof RefusedError ? failed.param : null;
  const about = (...fields: string[]): string | null =>
    failed && param && fields.some((field) => param.startsWith(field)) ? failed.message : null;
  const isPlaced = ["name", "expires_after", "memory_limit", "network_policy", "file_ids"].some((field) => about(field));

  return (
    <FormDialog
      title="New container"
      action={isBusy ? "Creating…" : "Create container"}
      wide
      isBusy={isBusy}
      onSubmit={submit}
      onClose={onClose}
    >
      <div>
        <label class="field">
          <span>Name</span>
          <input
            name="name"
            autofocus
            autocomplete="off"
            placeholder="quarterly report"
            value={name}
            aria-invalid={about("name") !== null}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <Wrong text={about("name")} />
      </div>
      <fieldset class="field">
        <legend>Memory limit</legend>
        <div class="segments">
          {MEMORY_LIMITS.map((one) => (
            <label key={one}>
              <input type="radio" name="memory" checked={one === memory} onChange={() => setMemory(one)} />
              <span>{memoryLimit(one)}</span>
            </label>
          ))}
        </div>
        <Wrong text={about("memory_limit")} />
      </fieldset>
      <div>
        <label class="field">
          <span>Expires after so many minutes without use</span>
          <input
            name="minutes"
            type="number"
            min="1"
            inputmode="numeric"
            placeholder="the server’s default, usually 20"
            value={minutes}
            aria-invalid={about("expires_after") !== null}
            onInput={(event) => setMinutes(event.currentTarget.value)}
          />
        </label>
        <Wrong text={about("expires_after")} />
      </div>
      <PolicyFields draft={policy} onChange={setPolicy} wrong={about("network_policy")} />
      <Files chosen={fileIds} onChange={setFileIds} />
      <Wrong text={about("file_ids")} />
      {failed && !isPlaced && <Wrong text={failed.message} />}
    </FormDialog>
  );
}

/** Files of `/v1/files`, to be copied in from the start. */
function Files({ chosen, onChange }: { chosen: readonly string[]; onChange: (ids: readonly string[]) => void }) {
  const { data, error, reload } = useLoad(() => all<ProjectFile>("/files"), []);
  const [progress, setProgress] = useState<number | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const picker = useRef<HTMLInputElement>(null);

  const add = async (files: FileList | null): Promise<void> => {
    setFailed(null);
    const added: string[] = [];
    try {
      for (const file of files ?? []) {
        setProgress(0);
        const title = `Upload ${file.name} for any container`;
        added.push((await upload<ProjectFile>("/files", file, title, PURPOSE, setProgress).done).id);
      }
    } catch (error) {
      setFailed(words(error));
    }
    setProgress(null);
    onChange([...chosen, ...added]);
    await reload();
    if (picker.current) picker.current.value = "";
  };

  return (
    <fieldset class="field">
      <legend>Files to begin with</legend>
      <p class="hint">From this project’s files; each gets a copy at /mnt/data.</p>
      {data !== null && data.length > 0 && (
        <div class="choices">
          {data.map((file) => (
            <label key={file.id} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(file.id)}
                onChange={(event) =>
                  onChange(event.currentTarget.checked ? [...chosen, file.id] : chosen.filter((id) => id !== file.id))
                }
              />
              <span>{file.filename}</span>
              <span class="muted">{bytes(file.bytes)}</span>
            </label>
          ))}
        </div>
      )}
      <input
        ref={picker}
        class="unseen"
        type="file"
        multiple
        tabIndex={-1}
        aria-label="Add files to this project"
        onChange={(event) => void add(event.currentTarget.files)}
      />
      <div class="row">
        <Button icon="upload" small onPress={() => picker.current?.click()}>
          Add a file
        </Button>
        {progress !== null && <progress value={progress} aria-label="Upload" />}
      </div>
      <Wrong text={failed ?? (error === null ? null : words(error))} />
    </fieldset>
  );
}
