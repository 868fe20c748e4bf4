// The files of a container: in by dropping or choosing, looked at, out, gone.

import { useEffect, useRef, useState } from "preact/hooks";

import { all, ask, send, words } from "../api/client";
import type { ContainerFile } from "../api/shapes";
import { type Uploading, upload } from "../api/upload";
import { bytes, fileName, shortPath, when } from "../format";
import { useLoad } from "../load";
import { tell } from "../notices";
import { Button } from "../parts/button";
import { Confirm } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Wrong } from "../parts/wrong";
import type { TabProps } from "./container";
import { Preview } from "./preview";

interface Upload {
  number: number;
  name: string;
  share: number;
  failed?: string;
  cancel: () => void;
}

let uploads = 0;

export function Files({ container, events, isShown }: TabProps) {
  const path = `/containers/${container.id}/files`;
  const { data, error, reload } = useLoad(() => all<ContainerFile>(path), [container.id]);
  const [running, setRunning] = useState<readonly Upload[]>([]);
  const [isOver, setOver] = useState(false);
  const [looking, setLooking] = useState<ContainerFile | null>(null);
  const [deleting, setDeleting] = useState<ContainerFile | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  useReloadOnChanges(events, isShown, reload);

  const change = (number: number, part: Partial<Upload> | null): void =>
    setRunning((before) =>
      before.flatMap((one) => (one.number === number ? (part ? [{ ...one, ...part }] : []) : [one])),
    );
  const put = async (file: File): Promise<void> => {
    uploads += 1;
    const number = uploads;
    const uploading: Uploading<ContainerFile> = upload(path, file, `Upload ${file.name}`, {}, (share) =>
      change(number, { share }),
    );
    setRunning((before) => [...before, { number, name: file.name, share: 0, cancel: uploading.cancel }]);
    try {
      await uploading.done;
      change(number, null);
      await reload();
    } catch (failed) {
      if (failed instanceof DOMException) change(number, null);
      else change(number, { failed: words(failed) });
    }
  };
  const putAll = (files: Iterable<File>): void => {
    for (const file of files) void put(file);
  };
  const dropped = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    putAll(event.dataTransfer?.files ?? []);
  };

  return (
    <div
      class={`drop${isOver ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => event.currentTarget === event.target && setOver(false)}
      onDrop={dropped}
    >
      <div class="toolbar">
        <Button kind="main" small icon="upload" onPress={() => picker.current?.click()}>
          Upload
        </Button>
        <Button small icon="restart" onPress={reload}>
          Refresh
        </Button>
        <span class="hint">or drop files anywhere here; they go to /mnt/data</span>
        <input
          ref={picker}
          class="unseen"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Files to upload"
          onChange={(event) => {
            putAll(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
      </div>
      {running.map(({ number, name, share, failed, cancel }) => (
        <div key={number} class="upload">
          <span>{name}</span>
          {failed ? (
            <span class="failure" role="alert">
              {failed}
            </span>
          ) : (
            <progress value={share} aria-label={`Upload of ${name}`} />
          )}
          <Button
            kind="quiet"
            small
            icon="close"
            label={failed ? `Dismiss ${name}` : `Stop the upload of ${name}`}
            onPress={() => (failed ? change(number, null) : cancel())}
          />
        </div>
      ))}
      <Wrong text={error === null ? null : words(error)} />
      {data?.length === 0 && (
        <div class="empty">
          <h2>No files yet</h2>
          <p>Drop some here, or let code write below /mnt/data: what it writes shows up by itself.</p>
        </div>
      )}
      {data !== null && data.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Size</th>
              <th scope="col">From</th>
              <th scope="col">Since</th>
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {data.map((file) => (
              <tr key={file.id}>
                <th scope="row">
                  <button type="button" class="link" onClick={() => setLooking(file)}>
                    <Icon name="file" />
                    {shortPath(file.path)}
                  </button>
                </th>
                <td data-head="Size">{bytes(file.bytes)}</td>
                <td data-head="From" class="muted">
                  {file.source === "user" ? "upload" : "code"}
                </td>
                <td data-head="Since" class="muted">
                  {when(file.created_at)}
                </td>
                <td class="actions">
                  <Button
                    kind="quiet"
                    icon="download"
                    label={`Download ${shortPath(file.path)}`}
                    onPress={() => download(path, file)}
                  />
                  <Button
                    kind="quiet"
                    icon="trash"
                    label={`Delete ${shortPath(file.path)}`}
                    onPress={() => setDeleting(file)}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {looking && (
        <Preview
          file={looking}
          path={`${path}/${looking.id}/content`}
          onDownload={() => download(path, looking)}
          onClose={() => setLooking(null)}
        />
      )}
      {deleting && (
        <Confirm
          title={`Delete ${shortPath(deleting.path)}?`}
          action="Delete file"
          onClose={() => setDeleting(null)}
          onConfirm={async () => {
            await ask("DELETE", `${path}/${deleting.id}`, { title: `Delete ${shortPath(deleting.path)}` });
            tell(`${shortPath(deleting.path)} is gone.`);
            await reload();
          }}
        >
          <p>It is gone for good.</p>
        </Confirm>
      )}
    </div>
  );
}

/** Code's files appear by themselves; many changes at once are one look. */
function useReloadOnChanges(events: TabProps["events"], isShown: boolean, reload: () => Promise<void>): void {
  const last = events.findLast((event) => event.type === "file.changed")?.id;
  const seen = useRef(last);
  useEffect(() => {
    if (!isShown || last === seen.current) return undefined;
    const timer = setTimeout(() => {
      seen.current = last;
      void reload();
    }, 150);
    return () => clearTimeout(timer);
  }, [last, isShown]);
}

async function download(path: string, file: ContainerFile): Promise<void> {
  const saved = fileName(file.path);
  const title = `Download ${shortPath(file.path)}`;
  const answer = await send("GET", `${path}/${file.id}/content`, { title, done: { saved } });
  const link = document.createElement("a");
  // Saved, never shown: as plain bytes no browser takes it for a page of this origin.
  link.href = URL.createObjectURL(new Blob([await answer.blob()], { type: "application/octet-stream" }));
  link.download = saved;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
