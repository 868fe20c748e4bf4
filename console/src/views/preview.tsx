// What is in a file: text, a table, an image or a document. Nothing of it is markup here.

import { useEffect, useRef, useState } from "preact/hooks";

import { send, words } from "../api/client";
import type { ContainerFile } from "../api/shapes";
import { type Table, readTable, separatorOf } from "../csv";
import { bytes, shortPath } from "../format";
import { Button } from "../parts/button";
import { Dialog } from "../parts/dialog";
import { Wrong } from "../parts/wrong";
import { piece } from "../pieces";

const TEXT_BYTES_MAX = 512 * 1024;
const WHOLE_BYTES_MAX = 64 * 1024 * 1024;
const ROWS_MAX = 500;
const COLUMNS_MAX = 100; // the browser lays out each cell of them at once
const PAGES_MAX = 50;

const IMAGES: Record<string, string> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  bmp: "image/bmp",
  ico: "image/x-icon",
  svg: "image/svg+xml", // in an image element, where it can neither run script nor load anything
};

type Content =
  | { kind: "text"; text: string; isCut: boolean }
  | { kind: "rows"; table: Table; isCut: boolean }
  | { kind: "image"; url: string }
  | { kind: "pdf"; data: ArrayBuffer }
  | { kind: "none"; why: string };

interface Props {
  file: ContainerFile;
  path: string;
  onDownload: () => Promise<void>;
  onClose: () => void;
}

export function Preview({ file, path, onDownload, onClose }: Props) {
  const [content, setContent] = useState<Content | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  useEffect(() => {
    const ending = new AbortController();
    let url = "";
    load(file, path, ending.signal).then(
      (found) => {
        if (found.kind === "image") url = found.url;
        setContent(found);
      },
      (error) => ending.signal.aborted || setFailed(words(error)),
    );
    return () => {
      ending.abort();
      URL.revokeObjectURL(url);
    };
  }, [file.id]);
  return (
    <Dialog title={shortPath(file.path)} wide onClose={onClose}>
      <div class="dialog-body preview">
        <Wrong text={failed} />
        {content === null && !failed && <p class="muted">Loading…</p>}
        {content && <Shown content={content} onFailed={setFailed} />}
      </div>
      <footer>
        <span class="muted">{bytes(file.bytes)}</span>
        <Button icon="download" onPress={onDownload}>
          Download
        </Button>
      </footer>
    </Dialog>
  );
}

async function load(file: ContainerFile, path: string, signal: AbortSignal): Promise<Content> {
  const ending = /\.([A-Za-z0-9]+)$/.exec(file.path)?.[1]?.toLowerCase() ?? "";
  const image = IMAGES[ending];
  if (image !== undefined || ending === "pdf") {
    if (file.bytes > WHOLE_BYTES_MAX) {
      return { kind: "none", why: `It has ${bytes(file.bytes)}; up to ${bytes(WHOLE_BYTES_MAX)} are shown here.` };
    }
    const data = await (await send("GET", path, { signal })).arrayBuffer();
    if (image === undefined) return { kind: "pdf", data };
    return { kind: "image", url: URL.createObjectURL(new Blob([data], { type: image })) };
  }
  if (file.bytes === 0) return { kind: "none", why: "The file is empty." };
  const data = await (
    await send("GET", path, { signal, headers: { Range: `bytes=0-${TEXT_BYTES_MAX - 1}` } })
  ).arrayBuffer();
  const isCut = file.bytes > data.byteLength;
  const text = textOf(data);
  if (text === null) return { kind: "none", why: "These bytes are no text that could be shown." };
  if (ending === "csv" || ending === "tsv") {
    const table = readTable(text, separatorOf(text), ROWS_MAX, COLUMNS_MAX);
    return { kind: "rows", table, isCut: isCut || table.hasMoreRows };
  }
  return { kind: "text", text, isCut };
}

function textOf(data: ArrayBuffer): string | null {
  const text = new TextDecoder().decode(data);
  // A cut may fall into the middle of a character, anything more is another encoding, or no text at all.
  const broken = text.split("\ufffd").length - 1;
  return text.includes("\0") || broken > 1 + text.length / 100 ? null : text;
}

function Shown({ content, onFailed }: { content: Content; onFailed: (why: string) => void }) {
  switch (content.kind) {
    case "none":
      return <p class="empty">{content.why}</p>;
    case "image":
      return (
        <img class="figure" src={content.url} alt="" onError={() => onFailed("These bytes are no image that could be shown.")} />
      );
    case "pdf":
      return <Pdf data={content.data} onFailed={onFailed} />;
    case "text":
      return (
        <>
          <pre tabIndex={0}>{content.text}</pre>
          {content.isCut && <p class="hint">The beginning, {bytes(TEXT_BYTES_MAX)} of it.</p>}
        </>
      );
    case "rows":
      return <Rows table={content.table} isCut={content.isCut} />;
  }
}

function Rows({ table, isCut }: { table: Table; isCut: boolean }) {
  const [head = [], ...body] = table.rows;
  const columns = table.columns > COLUMNS_MAX ? ` The first ${COLUMNS_MAX} of ${table.columns} columns.` : "";
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label="Rows">
        <table class="rows">
          <thead>
            <tr>
              {head.map((text, index) => (
                <th key={index} scope="col">
                  {text}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {body.map((row, index) => (
              <tr key={index}>
                {row.map((text, at) => (
                  <td key={at} class={text !== "" && Number.isFinite(Number(text)) ? "number" : ""}>
                    {text}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">
        {isCut ? `The first ${body.length} rows.` : `${body.length} rows.`}
        {columns}
      </p>
    </>
  );
}

function Pdf({ data, onFailed }: { data: ArrayBuffer; onFailed: (why: string) => void }) {
  const parent = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let close = (): void => undefined;
    let isOver = false;
    const show = async (): Promise<void> => {
      const { showPdf } = await piece(import("../pdf"));
      if (isOver || !parent.current) return;
      const shown = showPdf(parent.current, data, PAGES_MAX);
      close = shown.close;
      await shown.done;
    };
    show().catch((error: unknown) => isOver || onFailed(`This document cannot be shown: ${words(error)}`));
    return () => {
      isOver = true;
      close();
    };
  }, [data]);
  return <div class="pages" ref={parent} tabIndex={0} role="region" aria-label="Pages" />;
}
