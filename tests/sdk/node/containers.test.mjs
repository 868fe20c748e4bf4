// What the official Node client must be able to do; OPENAI_BASE_URL and OPENAI_API_KEY name the server.

import assert from "node:assert/strict";
import { File as NodeFile } from "node:buffer";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import OpenAI, { AzureOpenAI, toFile } from "openai";

globalThis.File ??= NodeFile; // Node 18 has it, but not as a global

const client = new OpenAI({ maxRetries: 0 });
const unknownContainer = "cntr_" + "0".repeat(48);

async function withContainer(options, use) {
  const container = await client.containers.create({ name: "node", ...options });
  try {
    return await use(container);
  } finally {
    await client.containers.delete(container.id);
  }
}

async function collect(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

async function content(container, file) {
  const response = await client.containers.files.content.retrieve(file.id, { container_id: container.id });
  return Buffer.from(await response.arrayBuffer());
}

test("create with every option", async () => {
  const stored = await client.files.create({ file: await toFile(Buffer.from("seed"), "seed.txt"), purpose: "user_data" });
  const options = {
    name: "all options",
    expires_after: { anchor: "last_active_at", minutes: 7 },
    file_ids: [stored.id],
    memory_limit: "1g",
    network_policy: { type: "disabled" },
  };
  await withContainer(options, async (container) => {
    assert.match(container.id, /^cntr_[0-9a-f]{48}$/);
    assert.equal(container.status, "running");
    assert.equal(container.object, "container");
    assert.deepEqual(container.expires_after, { anchor: "last_active_at", minutes: 7 });
    assert.equal(container.memory_limit, "1g");
    assert.deepEqual(container.network_policy, { type: "disabled" });
    assert.ok(container._request_id);
    const [file] = await collect(client.containers.files.list(container.id));
    assert.equal(file.path, "/mnt/data/seed.txt");
    assert.equal((await content(container, file)).toString(), "seed");
  });
  await client.files.delete(stored.id);
});

test("list pages in both orders and filters by name", async () => {
  const name = "node paged";
  const made = [];
  for (let number = 0; number < 5; number++) made.push((await client.containers.create({ name })).id);
  const ids = async (query) => (await collect(client.containers.list({ name, ...query }))).map((item) => item.id);
  assert.deepEqual(await ids({ limit: 2, order: "asc" }), made);
  assert.deepEqual(await ids({ limit: 2, order: "desc" }), [...made].reverse());
  assert.deepEqual(await ids({}), [...made].reverse());
  assert.deepEqual(await ids({ after: made[2], order: "asc" }), made.slice(3));
  for (const id of made) await client.containers.delete(id);
  assert.deepEqual(await ids({}), []);
});

test("retrieve, delete, and errors by their class", async () => {
  const container = await client.containers.create({ name: "short life" });
  assert.equal((await client.containers.retrieve(container.id)).name, "short life");
  await client.containers.delete(container.id);
  await assert.rejects(client.containers.retrieve(container.id), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.match(error.message, new RegExp(`Container with id '${container.id}' not found`));
    assert.equal(error.type, "invalid_request_error");
    assert.equal(error.param, null);
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(client.containers.list({ limit: 101 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, "integer_above_max_value");
    assert.equal(error.param, "limit");
    return true;
  });
  const stranger = new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(stranger.containers.list(), OpenAI.AuthenticationError);
  await assert.rejects(client.get("/no/such/route"), OpenAI.NotFoundError);
  await assert.rejects(client.containers.files.list(unknownContainer), OpenAI.NotFoundError);
});

test("every form of upload", async () => {
  const folder = await mkdtemp(join(tmpdir(), "atoll-node-"));
  const big = Buffer.alloc(3_000_000, "0123456789abcdef");
  await writeFile(join(folder, "on disk.bin"), big);
  try {
    await withContainer({}, async (container) => {
      const forms = [
        [createReadStream(join(folder, "on disk.bin")), "on disk.bin", big],
        [await toFile(Buffer.from("bytes"), "bytes.txt"), "bytes.txt", Buffer.from("bytes")],
        [new File(["web file"], "wéb.txt"), "wéb.txt", Buffer.from("web file")],
      ];
      for (const [file, name, expected] of forms) {
        const made = await client.containers.files.create(container.id, { file });
        assert.match(made.id, /^cfile_[0-9a-f]{32}$/);
        assert.equal(made.path, `/mnt/data/${name}`);
        assert.equal(made.bytes, expected.length);
        assert.equal(made.source, "user");
        assert.ok((await content(container, made)).equals(expected));
        const found = await client.containers.files.retrieve(made.id, { container_id: container.id });
        assert.equal(found.path, made.path);
      }
      const listed = await collect(client.containers.files.list(container.id, { limit: 1, order: "asc" }));
      assert.deepEqual(listed.map((file) => file.path), forms.map(([, name]) => `/mnt/data/${name}`));
      await client.containers.files.delete(listed[0].id, { container_id: container.id });
      await assert.rejects(
        client.containers.files.retrieve(listed[0].id, { container_id: container.id }),
        OpenAI.NotFoundError,
      );
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("files of the project, and one of them in a container", async () => {
  const stored = await client.files.create({ file: new File(["a,b\n"], "table.csv"), purpose: "user_data" });
  assert.equal(stored.filename, "table.csv");
  assert.equal(await (await client.files.content(stored.id)).text(), "a,b\n");
  assert.ok((await collect(client.files.list({ limit: 1 }))).some((file) => file.id === stored.id));
  await withContainer({}, async (container) => {
    const made = await client.containers.files.create(container.id, { file_id: stored.id });
    assert.equal(made.path, "/mnt/data/table.csv");
  });
  assert.equal((await client.files.delete(stored.id)).deleted, true);
  await assert.rejects(client.files.retrieve(stored.id), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.param, "id");
    return true;
  });
});

test("running code, at once and streamed", async () => {
  await withContainer({}, async (container) => {
    const path = `/containers/${container.id}/code_interpreter_calls`;
    const call = await client.post(path, { body: { code: "answer = 6 * 7\nanswer" } });
    assert.equal(call.status, "completed");
    assert.match(call.outputs[0].logs, /42/);
    const stream = await client.post(path, { body: { code: "for n in range(3): print(answer + n)", stream: true }, stream: true });
    const events = await collect(stream);
    assert.equal(events.at(0).type, "response.code_interpreter_call.in_progress");
    assert.equal(events.at(-1).type, "response.output_item.done");
    const deltas = events.filter((event) => event.type === "response.code_interpreter_call_logs.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), "42\n43\n44\n");
    const shell = await client.post(`/containers/${container.id}/shell_calls`, { body: { commands: ["pwd"] } });
    assert.equal(shell.output[0].stdout, "/mnt/data\n");
  });
});

test("the Azure client", async () => {
  const azure = new AzureOpenAI({
    apiKey: process.env.OPENAI_API_KEY,
    apiVersion: "preview",
    baseURL: process.env.OPENAI_BASE_URL.replace(/\/v1$/, "/openai/v1"),
    maxRetries: 0,
  });
  const container = await azure.containers.create({ name: "azure" });
  assert.ok((await collect(azure.containers.list({ limit: 100 }))).some((item) => item.id === container.id));
  await azure.containers.delete(container.id);
});
