// Requests as lines to paste: for curl, and for Python with the openai package. The key is never in them.

import type { Done } from "./journal";

export function curl({ method, path, body, file, fields, saved }: Done, base: string): string {
  const lines = [`curl -sS${isStream(body) ? "N" : ""} ${method === "GET" ? "" : `-X ${method} `}${base}/v1${path}`];
  lines.push('-H "Authorization: Bearer $ATOLL_API_KEY"');
  if (body !== undefined) {
    lines.push('-H "Content-Type: application/json"', `-d ${shellQuoted(JSON.stringify(body))}`);
  }
  for (const [name, value] of Object.entries(fields ?? {})) lines.push(`-F ${shellQuoted(`${name}=${value}`)}`);
  if (file !== undefined) lines.push(`-F ${shellQuoted(`file=@${formQuoted(file)}`)}`);
  if (saved !== undefined) lines.push(`-o ${shellQuoted(saved)}`);
  return lines.join(" \\\n  ");
}

export function python(done: Done, base: string): string {
  return `import os
from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key=os.environ["ATOLL_API_KEY"])

${call(done)}`;
}

function call({ method, path, body, file, fields, saved }: Done): string {
  const [, , container = "", noun = "", item = ""] = path.split("/");
  if (method === "POST" && path === "/containers") return `container = client.containers.create(${named(body)})`;
  if (method === "DELETE" && container && !noun) return `client.containers.delete(${literal(container)})`;
  if (method === "POST" && path === "/files" && file !== undefined) {
    return `file = client.files.create(file=open(${literal(file)}, "rb"), purpose=${literal(fields?.purpose ?? "user_data")})`;
  }
  if (noun === "files" && method === "POST" && file !== undefined) {
    return `client.containers.files.create(${literal(container)}, file=open(${literal(file)}, "rb"))`;
  }
  if (noun === "files" && method === "DELETE") {
    return `client.containers.files.delete(${literal(item)}, container_id=${literal(container)})`;
  }
  if (noun === "files" && saved !== undefined) {
    const content = `client.containers.files.content.retrieve(${literal(item)}, container_id=${literal(container)})`;
    return `content = ${content}\ncontent.write_to_file(${literal(saved)})`;
  }
  const sent = body === undefined ? "" : `body=${literal(withoutStream(body))}, `;
  const lines = [`answer = client.${method.toLowerCase()}(${literal(path)}, ${sent}cast_to=object)`];
  if (noun === "code_interpreter_calls") lines.push('for output in answer["outputs"]:', "    print(output)");
  return lines.join("\n");
}

function isStream(body: unknown): boolean {
  return typeof body === "object" && body !== null && "stream" in body && body.stream === true;
}

function withoutStream(body: unknown): unknown {
  if (!isStream(body)) return body;
  const { stream: _, ...rest } = body as Record<string, unknown>;
  return rest;
}

function named(body: unknown): string {
  return Object.entries(body as Record<string, unknown>)
    .map(([name, value]) => `${name}=${literal(value)}`)
    .join(", ");
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value)
      .map(([name, one]) => `${literal(name)}: ${literal(one)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value); // strings and numbers are written alike
}

/** In a form curl takes `;` and `,` for its own, except in quotes. */
function formQuoted(name: string): string {
  return `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
