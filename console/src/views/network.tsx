// What a container may reach, what it tried to reach, and one press to let it.

import { useMemo, useState } from "preact/hooks";

import { ask, words } from "../api/client";
import { Policy } from "../api/policy";
import type { Egress, NewNetworkPolicy, Page } from "../api/shapes";
import { bytes, clock } from "../format";
import { useLoad, useReloadOn } from "../load";
import { tell } from "../notices";
import { Button } from "../parts/button";
import { FormDialog } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Wrong } from "../parts/wrong";
import type { TabProps } from "./container";
import { type PolicyDraft, PolicyFields, policyOf } from "./policy_fields";

const SHOWN = 50;
const EVERY_MS = 5000;

const REASONS: Record<string, string> = {
  allowed: "went through",
  name_not_allowed: "not on the list",
  bare_address: "an address without a name",
  other_name: "named another host than it looked up",
  no_name: "did not say which host",
  encrypted_hello: "hid which host it wants",
  not_tls: "was no TLS",
  not_http: "was no HTTP",
  not_resolved: "the name has no address",
  not_public: "not on the public internet",
  not_reached: "nobody answered there",
  tls_failed: "TLS failed",
  too_slow: "silent for too long",
  bytes_max: "over the limit of bytes",
  policy_changed: "ended by a new policy",
};

export function Network({ container, events, isShown, reload }: TabProps) {
  const policies = useMemo(() => new Policy(container.id), [container.id]);
  const policy = container.network_policy;
  const allowed = policy.type === "allowlist" ? policy.allowed_domains : [];
  // What was let out makes no event, so it is asked for all the time; what was refused shows at once.
  const load = (): Promise<Page<Egress>> => ask<Page<Egress>>("GET", `/containers/${container.id}/egress?limit=${SHOWN}`);
  const { data, error, reload: reloadAttempts } = useLoad(load, [container.id], isShown ? EVERY_MS : undefined);
  useReloadOn("network.refused", events, isShown, reloadAttempts);
  const [isEditing, setEditing] = useState(false);
  const [wanted, setWanted] = useState("");
  const [failed, setFailed] = useState<string | null>(null);

  const allow = async (domain: string): Promise<void> => {
    await policies.allow(domain);
    await reload();
    tell(`${domain} is allowed from the next connection on.`);
  };
  const forbid = async (domain: string): Promise<void> => {
    await policies.forbid(domain);
    await reload();
    tell(`${domain} is allowed no more.`);
  };
  const replace = async (to: NewNetworkPolicy, keepsSecrets: boolean): Promise<void> => {
    await policies.replace(to, keepsSecrets);
    await reload();
  };
  const add = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await allow(wanted.trim());
      setWanted("");
      setFailed(null);
    } catch (error) {
      setFailed(words(error));
    }
  };

  const attempts = data?.data ?? [];
  // What the container tries moves the rows: none may come under a pointer that is on its way to another one's button.
  const [held, setHeld] = useState<readonly Egress[] | null>(null);
  const waiting = held === null ? 0 : attempts.filter((one) => !held.some(({ id }) => id === one.id)).length;
  return (
    <>
      <section class="card" aria-labelledby="allowed-title">
        <header>
          <h2 id="allowed-title">Allowed</h2>
          <Button small icon="pencil" onPress={() => setEditing(true)}>
            Edit policy
          </Button>
        </header>
        {allowed.length === 0 && <p class="muted">Nothing: the container has no network.</p>}
        <ul class="domains">
          {allowed.map((domain) => (
            <li key={domain}>
              <code>{domain}</code>
              <Button kind="quiet" small icon="close" label={`Allow ${domain} no more`} onPress={() => forbid(domain)} />
            </li>
          ))}
        </ul>
        <form class="row" onSubmit={(event) => void add(event)}>
          <input
            aria-label="Domain to allow"
            placeholder="example.com or *.example.com"
            spellcheck={false}
            autocomplete="off"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
          <button type="submit" class="button" disabled={!wanted.trim()}>
            <Icon name="plus" />
            <span>Allow</span>
          </button>
        </form>
        <Wrong text={failed} />
      </section>
      <section class="attempts" aria-labelledby="attempts-title" aria-live="polite">
        <header>
          <h2 id="attempts-title">Attempts</h2>
          {waiting > 0 && <span class="muted">{waiting} more when the pointer leaves the list</span>}
          <Button small icon="restart" onPress={reloadAttempts}>
            Refresh
          </Button>
        </header>
        {error !== null && <Wrong text={words(error)} />}
        {attempts.length === 0 && (
          <p class="empty">
            {policy.type === "disabled"
              ? "Without a policy nothing even tries: there is no network to try it on."
              : "Nothing has been tried yet. What the container is kept from shows up here as it happens, what it reaches when the connection has ended."}
          </p>
        )}
        <ul onPointerEnter={() => setHeld(attempts)} onPointerLeave={() => setHeld(null)}>
          {(held ?? attempts).map((one) => (
            <li key={one.id} class={one.reason === "allowed" ? "through" : "refused"}>
              <time>{clock(one.created_at)}</time>
              <code>{one.port === 53 ? one.name : `${one.name}:${one.port}`}</code>
              <span class="why">{REASONS[one.reason] ?? one.reason}</span>
              {one.reason === "allowed" && (
                <span class="muted">
                  {bytes(one.bytes_sent)} out, {bytes(one.bytes_received)} in
                </span>
              )}
              {one.reason === "name_not_allowed" && <Allow entry={entryFor(one)} allowed={allowed} onAllow={allow} />}
            </li>
          ))}
        </ul>
      </section>
      {isEditing && <EditPolicy allowed={allowed} onClose={() => setEditing(false)} onSave={replace} />}
    </>
  );
}

function Allow({ entry, allowed, onAllow }: { entry: string; allowed: string[]; onAllow: (entry: string) => Promise<void> }) {
  if (allowed.includes(entry)) return <span class="muted">allowed now</span>;
  return (
    <Button small label={`Allow ${entry}`} icon="check" onPress={() => onAllow(entry)}>
      Allow
    </Button>
  );
}

/** What an allowlist has to say for it. */
function entryFor({ name, port }: Egress): string {
  return port === 53 || port === 80 || port === 443 ? name : `${name}:${port}`;
}

interface EditProps {
  allowed: string[];
  onClose: () => void;
  onSave: (policy: NewNetworkPolicy, keepsSecrets: boolean) => Promise<void>;
}

function EditPolicy({ allowed, onClose, onSave }: EditProps) {
  const [draft, setDraft] = useState<PolicyDraft>({
    isAllowlist: allowed.length > 0,
    domains: allowed.join("\n"),
    secrets: [],
  });
  const [keepsSecrets, setKeepsSecrets] = useState(true);
  const [failed, setFailed] = useState<string | null>(null);
  const submit = async (): Promise<void> => {
    try {
      await onSave(policyOf(draft), keepsSecrets);
    } catch (error) {
      setFailed(words(error));
      return;
    }
    tell("The new policy holds from the next connection on.");
    onClose();
  };
  return (
    <FormDialog title="Network policy" action="Save" wide onSubmit={submit} onClose={onClose}>
      <PolicyFields draft={draft} onChange={setDraft} wrong={failed} />
      {draft.isAllowlist && (
        <label class="check">
          <input
            type="checkbox"
            checked={keepsSecrets}
            onChange={(event) => setKeepsSecrets(event.currentTarget.checked)}
          />
          <span>Keep the secrets that it has, unless they are given again</span>
        </label>
      )}
    </FormDialog>
  );
}
