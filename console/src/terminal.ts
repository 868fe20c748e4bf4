// A terminal on the page: xterm.js at one end, the container's at the other. The connection may break; the shell goes on.

import "@xterm/xterm/css/xterm.css";

import { FitAddon } from "@xterm/addon-fit";
import { type ITheme, Terminal as Xterm } from "@xterm/xterm";

import { answers, isAway, lost, returns } from "./connection";
import { key } from "./session";
import { colour, theme } from "./theme";

export type TerminalState =
  | { kind: "connecting" }
  | { kind: "connected"; id: string }
  | { kind: "broken"; why: string }
  /** Only the person begins again, by `again`; `id` is the terminal that goes on in the container and is still this window's. */
  | { kind: "ended"; why: string; id: string | null; again: string };

interface Wanted {
  containerId: string;
  /** One that is there already; a new one without it. */
  terminalId: string | null;
  onState: (state: TerminalState) => void;
  onLeave: () => void;
}

// After these the terminal goes on in the container: 1001 and 1006 are a connection that went, 1011 a page that slept,
// 1012 a server that starts anew.
const GOES_ON = new Set([1001, 1006, 1011, 1012]);
const NO_WORD = 1006;
const RESTARTS = 1012;
const TAKEN_OVER = 4409;
// After these there is no such terminal any more: the next connection asks for a new one.
const OVER = new Set([1000, 4404, 4410]);
const PAUSE_MS = 1000;
/** Of one message; the server takes twice as much. */
const SENT_BYTES_MAX = 32 * 1024;
/** What xterm.js has not drawn yet: of short lines that takes seconds, for which what comes of Ctrl-C has to wait. */
const UNDRAWN_BYTES_MAX = 1024 * 1024;
const TYPED_BYTES_MAX = 64 * 1024;

export class TerminalView {
  private readonly xterm: Xterm;
  private readonly fit = new FitAddon();
  private readonly ending: (() => void)[] = [];
  private socket: WebSocket | null = null;
  private state: TerminalState = { kind: "connecting" };
  private isClosed = false;
  private terminalId: string | null;
  private timer = 0;
  /** Handshakes in a row that failed while the server was there. */
  private refusals = 0;
  private undrawnBytes = 0;
  /** What was typed while there was more to draw than fits; null when there is not. */
  private typed: Uint8Array<ArrayBuffer>[] | null = null;

  constructor(
    private readonly parent: HTMLElement,
    private readonly wanted: Wanted,
  ) {
    this.terminalId = wanted.terminalId;
    this.xterm = new Xterm({
      fontFamily: colour("mono"),
      fontSize: 13,
      lineHeight: 1.25,
      cursorBlink: true,
      scrollback: 5000,
      screenReaderMode: true,
      linkHandler: { activate: () => undefined }, // what a program calls a link leads nowhere from here
      theme: colours(),
    });
    this.xterm.loadAddon(this.fit);
    this.xterm.open(parent);
    this.resize();
    this.xterm.onData((keys) => this.type(new TextEncoder().encode(keys)));
    this.xterm.onBinary((keys) => this.type(Uint8Array.from(keys, (char) => char.charCodeAt(0))));
    this.xterm.onResize(({ cols, rows }) => this.send(JSON.stringify({ type: "resize", cols, rows })));
    this.xterm.attachCustomKeyEventHandler((event) => {
      if (!(event.ctrlKey && event.shiftKey && event.key === "ArrowUp")) return true;
      if (event.type === "keydown") wanted.onLeave();
      return false;
    });
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(parent);
    this.ending.push(
      () => observer.disconnect(),
      theme.subscribe(() => {
        this.xterm.options.theme = colours();
      }),
      // One that has ended, taken over by another window, say, is not taken back without being told to.
      returns.subscribe(() => this.state.kind === "broken" && this.connect()),
    );
    this.connect();
  }

  focus(): void {
    this.xterm.focus();
  }

  /** Let go of the terminal, which lives on in the container. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const end of this.ending) end();
    const socket = this.socket;
    this.socket = null;
    this.typed = null;
    socket?.close(1000);
    this.xterm.dispose();
  }

  /** Connect to the terminal, which may take it over from another window, or to a new one where there is none. */
  connect(): void {
    clearTimeout(this.timer);
    this.become({ kind: "connecting" });
    this.open();
  }

  private open(): void {
    const { cols, rows } = this.xterm;
    const url = new URL(`v1/containers/${this.wanted.containerId}/terminal`, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({
      cols: String(cols),
      rows: String(rows),
      ...(this.terminalId === null ? {} : { terminal_id: this.terminalId }),
    }).toString();
    const secret = btoa(key.get() ?? "").replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const socket = new WebSocket(url, ["atoll.terminal", `atoll.key.${secret}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket !== socket) return;
      if (typeof data === "string") this.obey(JSON.parse(data) as { type: string; terminal_id?: string });
      else this.draw(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.socket === socket && this.closed(code, reason);
  }

  private obey(message: { type: string; terminal_id?: string }): void {
    if (message.type !== "attached" || message.terminal_id === undefined) return;
    this.terminalId = message.terminal_id;
    this.refusals = 0;
    this.xterm.reset(); // what was shown last comes again
    this.become({ kind: "connected", id: message.terminal_id });
    const typed = this.typed ?? [];
    this.typed = null;
    for (const keys of typed) this.type(keys);
  }

  /** What is written faster than it can be drawn would be lost, and nobody can tell a socket to wait: it is let go, and
   * taken up again when all is drawn. The container keeps what came last. */
  private draw(data: Uint8Array): void {
    this.undrawnBytes += data.length;
    this.xterm.write(data, () => {
      this.undrawnBytes -= data.length;
      if (this.undrawnBytes === 0 && this.typed !== null && this.socket === null) this.open();
    });
    if (this.undrawnBytes <= UNDRAWN_BYTES_MAX) return;
    this.typed = [];
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }

  private closed(code: number, reason: string): void {
    this.socket = null;
    this.typed = null;
    if (!GOES_ON.has(code)) {
      if (OVER.has(code)) this.terminalId = null;
      this.end(reason || `The connection was closed (${code}).`, code === TAKEN_OVER ? null : this.terminalId);
      return;
    }
    const hadBegun = this.state.kind === "connected";
    this.become({ kind: "broken", why: hadBegun ? "The connection broke. What runs in the terminal goes on." : "Not connected yet." });
    if (code === NO_WORD) {
      void this.lookWhy(hadBegun);
      return;
    }
    if (code === RESTARTS) lost();
    this.connectLater();
  }

  /** Browsers do not tell why a connection or a handshake failed. If the server is there, only the one connection broke; or
   * the server, or a proxy before it, does not want any, and asking on and on is of no use. */
  private async lookWhy(hadBegun: boolean): Promise<void> {
    const { state } = this;
    const isThere = !isAway.get() && (await answers());
    if (this.state !== state || this.isClosed) return;
    if (!isThere) {
      lost();
      return;
    }
    if (!hadBegun) this.refusals += 1;
    if (this.refusals < 2) {
      this.connectLater(); // the server may have come back between the two questions
      return;
    }
    this.refusals = 0;
    this.end("The server answers, but not to a WebSocket: a proxy before it has to pass on upgrades, and the page’s own origin.", this.terminalId);
  }

  private connectLater(): void {
    this.timer = window.setTimeout(() => this.state.kind === "broken" && !isAway.get() && this.connect(), PAUSE_MS);
  }

  private end(why: string, id: string | null): void {
    this.become({ kind: "ended", why, id, again: this.terminalId === null ? "Open a new one" : "Connect again" });
  }

  private become(state: TerminalState): void {
    this.state = state;
    this.wanted.onState(state);
  }

  private type(keys: Uint8Array<ArrayBuffer>): void {
    if (this.typed !== null) {
      const held = this.typed.reduce((sum, one) => sum + one.length, keys.length);
      if (held <= TYPED_BYTES_MAX) this.typed.push(keys);
      return;
    }
    for (let at = 0; at < keys.length; at += SENT_BYTES_MAX) this.send(keys.subarray(at, at + SENT_BYTES_MAX));
  }

  private send(message: string | Uint8Array<ArrayBuffer>): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  private resize(): void {
    if (this.parent.clientWidth > 0) this.fit.fit();
  }
}

function colours(): ITheme {
  const isDark = theme.get() === "dark";
  return {
    background: colour("code"),
    foreground: colour("text"),
    cursor: colour("accent"),
    cursorAccent: colour("code"),
    selectionBackground: isDark ? "#2f5b66" : "#bfe3e6",
    black: isDark ? "#3a434a" : "#24292e",
    red: isDark ? "#f08a80" : "#b3382c",
    green: isDark ? "#86c98b" : "#2a7a3b",
    yellow: isDark ? "#dcb86a" : "#8a6100",
    blue: isDark ? "#86b6f0" : "#2461a8",
    magenta: isDark ? "#cfa2e6" : "#7d3f9c",
    cyan: isDark ? "#6cc7cb" : "#0c7277",
    white: isDark ? "#d5dade" : "#6a737a",
    brightBlack: isDark ? "#6f7a83" : "#57606a",
    brightRed: isDark ? "#f6a49b" : "#c6483b",
    brightGreen: isDark ? "#a1d9a5" : "#34904a",
    brightYellow: isDark ? "#e7ca8a" : "#a37408",
    brightBlue: isDark ? "#a5c9f5" : "#3074c4",
    brightMagenta: isDark ? "#dcbaee" : "#9250b3",
    brightCyan: isDark ? "#8ed7da" : "#14878d",
    brightWhite: isDark ? "#ffffff" : "#1c2024",
  };
}
