// Pages of a PDF, drawn on canvases; its text is put there for those who do not see them. Read in a worker.

import { GlobalWorkerOptions, getDocument } from "pdfjs-dist/legacy/build/pdf.mjs";

const WIDTH_MAX = 1000;
// A page may be as long as its author likes; one of common paper has six million on a fine screen.
const PIXELS_MAX = 8_000_000;
// A scan has seventy million of the finest paper there is; each takes four bytes.
const IMAGE_PIXELS_MAX = 80_000_000;
const LABEL_CHARS_MAX = 50_000;

GlobalWorkerOptions.workerSrc = named("pdf-worker");
const DATA = named("pdf-data");

export function showPdf(parent: HTMLElement, data: ArrayBuffer, most: number): { done: Promise<void>; close: () => void } {
  const loading = getDocument({
    data: data.slice(0),
    enableXfa: false,
    maxImageSize: IMAGE_PIXELS_MAX,
    useWasm: false, // the page's policy lets none run; the same decoders are there as script
    useWorkerFetch: true,
    wasmUrl: DATA,
    cMapUrl: DATA,
  });
  const draw = async (): Promise<void> => {
    const pdf = await loading.promise;
    for (let number = 1; number <= Math.min(pdf.numPages, most); number += 1) {
      const page = await pdf.getPage(number);
      const natural = page.getViewport({ scale: 1 });
      const width = Math.min(WIDTH_MAX, parent.clientWidth || WIDTH_MAX);
      const wanted = (width / natural.width) * Math.min(2, devicePixelRatio);
      const scale = Math.min(wanted, Math.sqrt(PIXELS_MAX / (natural.width * natural.height)));
      const viewport = page.getViewport({ scale });
      const canvas = document.createElement("canvas");
      canvas.width = Math.ceil(viewport.width);
      canvas.height = Math.ceil(viewport.height);
      canvas.setAttribute("role", "img");
      const { items } = await page.getTextContent();
      const text = items.map((item) => ("str" in item ? item.str : "")).join(" ").slice(0, LABEL_CHARS_MAX);
      canvas.setAttribute("aria-label", `Page ${number} of ${pdf.numPages}: ${text}`);
      parent.append(canvas);
      await page.render({ canvas, viewport }).promise;
    }
    if (pdf.numPages > most) {
      const more = document.createElement("p");
      more.className = "hint";
      more.textContent = `The first ${most} of ${pdf.numPages} pages.`;
      parent.append(more);
    }
  };
  return { done: draw(), close: () => void loading.destroy() };
}

/** Give the address that the page names so. */
function named(name: string): string {
  return new URL(document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? "", document.baseURI).href;
}
