// What a container uses, now and over the last minutes, and what has happened in it.

import { useEffect, useRef, useState } from "preact/hooks";

import { ask, words } from "../api/client";
import type { ContainerEvent, Sample, Stats } from "../api/shapes";
import type { Chart, Scale } from "../chart";
import { bytes, clock, duration, shortPath, took } from "../format";
import { useLoad } from "../load";
import { Meter } from "../parts/meter";
import { Wrong } from "../parts/wrong";
import { piece } from "../pieces";
import type { TabProps } from "./container";

const EVERY_MS = 5000;
const LISTED = 100;

export function Activity({ container, events, isShown }: TabProps) {
  const load = (): Promise<Stats> => ask<Stats>("GET", `/containers/${container.id}/stats`);
  const { data, error } = useLoad(load, [container.id], isShown ? EVERY_MS : undefined);
  return (
    <>
      <Wrong text={error === null ? null : words(error)} />
      {data && <Now stats={data} />}
      <div class="charts">
        <Over title="Memory" samples={data?.history ?? []} of={memoryOf} scale="binary" write={bytes} isShown={isShown} />
        <Over title="CPU" samples={data?.history ?? []} of={coresOf} scale="decimal" write={cores} isShown={isShown} />
      </div>
      <section aria-labelledby="events-title">
        <h2 id="events-title">Events</h2>
        {events.length === 0 && <p class="empty">Nothing has happened since the server started watching.</p>}
        <ol class="events">
          {events
            .slice(-LISTED)
            .reverse()
            .map((event) => (
              <li key={event.id}>
                <time>{clock(event.at)}</time>
                <span class={`kind ${event.type.replace(".", "-")}`}>{event.type}</span>
                <span>{told(event)}</span>
              </li>
            ))}
        </ol>
      </section>
    </>
  );
}

const memoryOf = (sample: Sample): number => sample.memory_bytes;
const coresOf = (sample: Sample): number => sample.cpu_cores;

function cores(value: number): string {
  return String(Number(value.toFixed(value < 0.1 ? 3 : 2)));
}

function Now({ stats }: { stats: Stats }) {
  const { memory, cpu, processes, disk, network } = stats;
  return (
    <dl class="tiles">
      <Tile name="Memory" used={memory.used_bytes} limit={memory.limit_bytes} write={bytes} />
      <Tile name="CPU, cores" used={cpu.cores} limit={cpu.limit_cores} write={cores} />
      <Tile name="Processes" used={processes.count} limit={processes.limit} write={String} />
      {disk.used_bytes !== null && <Tile name="Disk" used={disk.used_bytes} limit={disk.limit_bytes} write={bytes} />}
      {network && (
        <div>
          <dt>Network</dt>
          <dd>
            {bytes(network.sent_bytes)} out, {bytes(network.received_bytes)} in
          </dd>
        </div>
      )}
    </dl>
  );
}

interface TileProps {
  name: string;
  used: number;
  limit: number | null;
  write: (value: number) => string;
}

function Tile({ name, used, limit, write }: TileProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {limit === null ? write(used) : <Meter label={`${write(used)} of ${write(limit)}`} share={used / limit} />}
      </dd>
    </div>
  );
}

interface OverProps {
  title: string;
  samples: readonly Sample[];
  of: (sample: Sample) => number;
  scale: Scale;
  write: (value: number) => string;
  isShown: boolean;
}

function Over({ title, samples, of, scale, write, isShown }: OverProps) {
  const parent = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<Chart | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  useEffect(() => {
    let made: Chart | null = null;
    let isOver = false;
    piece(import("../chart")).then(
      ({ makeChart }) => {
        if (isOver || !parent.current) return;
        made = makeChart(parent.current, title, scale, write);
        setChart(made);
      },
      (error) => isOver || setFailed(words(error)),
    );
    return () => {
      isOver = true;
      made?.close();
    };
  }, []);
  useEffect(() => {
    if (isShown) chart?.show(samples.map((one) => one.at), samples.map(of));
  }, [chart, samples, isShown]);
  const last = samples.at(-1);
  const first = samples[0];
  const span = first && last ? duration(last.at - first.at) : "";
  const most = samples.length > 0 ? write(Math.max(...samples.map(of))) : "";
  return (
    <figure class="card">
      <figcaption>
        <h2>{title}</h2>
        {last && (
          <span class="muted">
            {write(of(last))} now, at most {most} in {span}
          </span>
        )}
      </figcaption>
      <Wrong text={failed} />
      <div ref={parent} role="img" aria-label={`${title} over the last minutes`} />
    </figure>
  );
}

/** Say what an event tells, beside its type. */
function told(event: ContainerEvent): string {
  const text = (field: string): string => String(event[field] ?? "");
  switch (event.type) {
    case "call.started":
      return text("kind").replace("_", " ");
    case "call.ended":
      return `${text("kind").replace("_", " ")}: ${text("outcome")} ${took(Number(event.duration_ms))}`;
    case "file.changed": {
      const size = typeof event.bytes === "number" ? `, ${bytes(event.bytes)}` : "";
      return `${shortPath(text("path"))} ${text("change")}${size}`;
    }
    case "limit.hit":
      return text("limit");
    case "network.refused":
      return `${text("name")}${event.port ? `:${text("port")}` : ""} (${text("reason").replaceAll("_", " ")})`;
    case "container.updated":
      return Array.isArray(event.fields) ? event.fields.join(", ") : "";
    case "container.expiring":
      return typeof event.expires_at === "number" ? `at ${clock(event.expires_at)}` : "";
    case "events.missed":
      return text("count");
    default:
      return "";
  }
}
