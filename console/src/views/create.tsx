// A new container, with everything that can be said about one.

import { useRef, useState } from "preact/hooks";

import { RefusedError, all, ask, words } from "../api/client";
import { upload } from "../api/upload";
import { type Container, MEMORY_LIMITS, type MemoryLimit, type NewContainer, type ProjectFile } from "../api/shapes";
import { bytes, memoryLimit } from "../format";
import { useLoad } from "../load";
import { Button } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { MinutesField } from "../parts/minutes_field";
import { Wrong } from "../parts/wrong";
import { type PolicyDraft, PolicyFields, emptyPolicy, policyOf } from "./policy_fields";

const LISTED_MAX = 2000;
const PURPOSE = { purpose: "user_data" };

export function CreateContainer({ onClose, onCreated }: { onClose: () => void; onCreated: (made: Container) => void }) {
  const [name, setName] = useState("");
  const [memory, setMemory] = useState<MemoryLimit>("1g");
  const [minutes, setMinutes] = useState("");
  const [policy, setPolicy] = useState<PolicyDraft>(emptyPolicy);
  const [fileIds, setFileIds] = useState<readonly string[]>([]);
  const [failed, setFailed] = useState<RefusedError | Error | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [isUploading, setUploading] = useState(false);

  const submit = async (): Promise<void> => {
    if (isBusy || isUploading) return;
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
      action={isBusy ? "Creating…" : isUploading ? "Uploading…" : "Create container"}
      wide
      isBusy={isBusy || isUploading}
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
        <MinutesField
          value={minutes}
          onChange={setMinutes}
          placeholder="the server’s default, usually 20"
          isWrong={about("expires_after") !== null}
        />
        <Wrong text={about("expires_after")} />
      </div>
      <PolicyFields draft={policy} onChange={setPolicy} wrong={about("network_policy")} />
      <Files chosen={fileIds} onChange={setFileIds} isUploading={isUploading} onUploading={setUploading} />
      <Wrong text={about("file_ids")} />
      {failed && !isPlaced && <Wrong text={failed.message} />}
    </FormDialog>
  );
}

interface FilesProps {
  chosen: readonly string[];
  onChange: (to: (chosen: readonly string[]) => readonly string[]) => void;
  isUploading: boolean;
  onUploading: (is: boolean) => void;
}

/** Files of `/v1/files`, to be copied in from the start. */
function Files({ chosen, onChange, isUploading, onUploading }: FilesProps) {
  const { data, error, reload } = useLoad(() => all<ProjectFile>("/files", LISTED_MAX), []);
  const [progress, setProgress] = useState<number | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const picker = useRef<HTMLInputElement>(null);

  const add = async (files: FileList | null): Promise<void> => {
    setFailed(null);
    onUploading(true);
    try {
      for (const file of files ?? []) {
        setProgress(0);
        const title = `Upload ${file.name} for any container`;
        const { id } = await upload<ProjectFile>("/files", file, title, PURPOSE, setProgress).done;
        onChange((now) => [...now, id]);
      }
    } catch (error) {
      setFailed(words(error));
    }
    setProgress(null);
    onUploading(false);
    await reload();
    if (picker.current) picker.current.value = "";
  };

  return (
    <fieldset class="field">
      <legend>Files to begin with</legend>
      <p class="hint">From this project’s files; each gets a copy at /mnt/data.</p>
      {data?.isCut && <p class="hint">The newest {LISTED_MAX} of them:</p>}
      {data !== null && data.items.length > 0 && (
        <div class="choices">
          {data.items.map((file) => (
            <label key={file.id} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(file.id)}
                onChange={(event) => {
                  const isChosen = event.currentTarget.checked;
                  onChange((now) => (isChosen ? [...now, file.id] : now.filter((id) => id !== file.id)));
                }}
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
        <Button icon="upload" small disabled={isUploading} onPress={() => picker.current?.click()}>
          Add a file
        </Button>
        {progress !== null && <progress value={progress} aria-label="Upload" />}
      </div>
      <Wrong text={failed ?? (error === null ? null : words(error))} />
    </fieldset>
  );
}
