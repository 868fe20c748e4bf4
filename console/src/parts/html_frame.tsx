// HTML that code in a container wrote, in a frame that can do nothing: no script, no form, no navigation, no origin, and
// by its own policy no request to anywhere, this server included.

import { useMemo } from "preact/hooks";

import { useCell } from "../store";
import { colour, theme } from "../theme";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const HEIGHT_MAX = 460;

export function HtmlFrame({ html, title }: { html: string; title: string }) {
  const shade = useCell(theme); // the frame's colours are written into it
  const srcdoc = useMemo(() => documentOf(html), [html, shade]);
  return <iframe class="html" title={title} sandbox="" srcdoc={srcdoc} style={{ height: `${heightOf(html)}px` }} />;
}

function documentOf(html: string): string {
  const style = `
    :root { color-scheme: ${theme.get()}; }
    body { margin: 0; color: ${colour("text")}; background: ${colour("surface")};
           font: 13.5px/1.5 ui-sans-serif, system-ui, sans-serif; overflow-wrap: anywhere; }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
    th, td { padding: 5px 12px; text-align: right; border: 0; border-bottom: 1px solid ${colour("line")}; white-space: nowrap; }
    thead th { color: ${colour("muted")}; font-weight: 600; position: sticky; top: 0; background: ${colour("surface")}; }
    tbody th { text-align: left; color: ${colour("muted")}; font-weight: 500; }
    table[border] { border: 0; }
    a { color: ${colour("accent")}; }`;
  return `<!doctype html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}"><style>${style}</style></head><body>${withoutWays(html)}</body></html>`;
}

const LEADING = "iframe, frame, object, embed, portal, link, meta, base, script, template, form, audio, video";
const LEADING_ATTRIBUTES = ["href", "xlink:href", "src", "srcset", "action", "formaction", "ping", "background", "poster", "srcdoc"];

/**
 * Take out what leads elsewhere. The frame's walls hold without it; but browsers connect to where a frame or a link is about
 * to go before they ask whether it may, and already that would tell somebody that the page was seen. Parsing loads nothing.
 */
function withoutWays(html: string): string {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const element of parsed.querySelectorAll(LEADING)) element.remove();
  for (const element of parsed.querySelectorAll("*")) {
    for (const name of LEADING_ATTRIBUTES) {
      if (!/^data:image\/|^#/.test(element.getAttribute(name) ?? "#")) element.removeAttribute(name);
    }
  }
  return parsed.head.innerHTML + parsed.body.innerHTML;
}

/** Nobody outside can look into the frame, so its height is guessed by the rows and lines that are in it. */
function heightOf(html: string): number {
  const rows = html.match(/<tr\b/gi)?.length ?? 0;
  const lines = html.match(/<(?:p|div|h\d|li|br|pre)\b/gi)?.length ?? 0;
  return Math.min(HEIGHT_MAX, Math.max(60, rows > 0 ? rows * 32 + 12 : lines * 28 + 20));
}
