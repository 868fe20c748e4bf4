// The files of a container: in by dropping or choosing, looked at, out, gone.

import { useEffect, useRef, useState } from "preact/hooks";

import { all, ask, send, words } from "../api/client";
import type { ContainerFile } from "../api/shapes";
import { bytes, fileName, shortPath, when } from "../format";
import { useLoad, useReloadOn, useSoon } from "../load";
import { tell } from "../notices";
import { Button } from "../parts/button";
import { Confirm } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Wrong } from "../parts/wrong";
import { useCell } from "../store";
import { type Uploads, uploadsOf } from "../uploads";
import type { TabProps } from "./container";
import { Preview } from "./preview";

const LISTED_MAX = 2000;
const FOLDER = "This is a folder: drop the files that are in it, or pack it.";

export function Files({ container, events, isShown }: TabProps) {
  const path = `/containers/${container.id}/files`;
  const { data, error, reload } = useLoad(() => all<ContainerFile>(path, LISTED_MAX), [container.id]);
  const uploads = uploadsOf(container.id);
  const arrived = useCell(uploads.arrived);
  const reloadSoon = useSoon(reload);
  const [isOver, setOver] = useState(false);
  const [looking, setLooking] = useState<ContainerFile | null>(null);
  const [deleting, setDeleting] = useState<ContainerFile | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  useReloadOn("file.changed", events, isShown, reload);
  useEffect(() => {
    if (arrived > 0) reloadSoon();
  }, [arrived]);

  const dropped = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    for (const item of event.dataTransfer?.items ?? []) {
      const file = item.getAsFile();
      if (!file) continue;
      if (item.webkitGetAsEntry()?.isDirectory) uploads.refuse(file.name, FOLDER);
      else uploads.put([file]);
    }
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
            uploads.put(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
      </div>
      <Going uploads={uploads} />
      <Wrong text={error === null ? null : words(error)} />
      {data?.isCut && <p class="hint">The newest {LISTED_MAX} files; the API lists the others, too.</p>}
      {data?.items.length === 0 && (
        <div class="empty">
          <h2>No files yet</h2>
          <p>Drop some here, or let code write below /mnt/data: what it writes shows up by itself.</p>
        </div>
      )}
      {data !== null && data.items.length > 0 && (
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
            {data.items.map((file) => (
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

/** Uploads that are under way, have failed, or wait for their turn. */
function Going({ uploads }: { uploads: Uploads }) {
  const shown = useCell(uploads.shown);
  const waiting = shown.filter(({ state }) => state === "waiting").length;
  return (
    <>
      {shown
        .filter(({ state }) => state !== "waiting")
        .map(({ number, name, state, share, why }) => (
          <div key={number} class="upload">
            <span>{name}</span>
            {state === "failed" ? (
              <span class="failure" role="alert">
                {why}
              </span>
            ) : (
              <progress value={share} aria-label={`Upload of ${name}`} />
            )}
            <Button
              kind="quiet"
              small
              icon="close"
              label={state === "failed" ? `Dismiss ${name}` : `Stop the upload of ${name}`}
              onPress={() => uploads.drop(number)}
            />
          </div>
        ))}
      {waiting > 0 && (
        <div class="upload">
          <span>{waiting} more wait for their turn</span>
          <Button kind="quiet" small icon="close" label="Drop those that wait" onPress={() => uploads.dropWaiting()} />
        </div>
      )}
    </>
  );
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
