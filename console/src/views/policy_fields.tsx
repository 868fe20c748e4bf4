// What a container may reach, as a form.

import type { DomainSecret, NewNetworkPolicy } from "../api/shapes";
import { Button } from "../parts/button";
import { Wrong } from "../parts/wrong";

export interface PolicyDraft {
  isAllowlist: boolean;
  /** One a line, or separated by commas or spaces. */
  domains: string;
  secrets: readonly DomainSecret[];
}

export const emptyPolicy: PolicyDraft = { isAllowlist: false, domains: "", secrets: [] };

export function policyOf({ isAllowlist, domains, secrets }: PolicyDraft): NewNetworkPolicy {
  if (!isAllowlist) return { type: "disabled" };
  const allowed = domains.split(/[\s,]+/).filter(Boolean);
  const named = secrets.filter((one) => one.domain || one.name || one.value);
  return { type: "allowlist", allowed_domains: allowed, ...(named.length > 0 ? { domain_secrets: named } : {}) };
}

interface Props {
  draft: PolicyDraft;
  onChange: (draft: PolicyDraft) => void;
  wrong: string | null;
}

export function PolicyFields({ draft, onChange, wrong }: Props) {
  const change = (part: Partial<PolicyDraft>): void => onChange({ ...draft, ...part });
  const changeSecret = (index: number, part: Partial<DomainSecret>): void =>
    change({ secrets: draft.secrets.map((one, at) => (at === index ? { ...one, ...part } : one)) });
  return (
    <fieldset class="field">
      <legend>Network</legend>
      <div class="segments">
        <label>
          <input type="radio" name="policy" checked={!draft.isAllowlist} onChange={() => change({ isAllowlist: false })} />
          <span>None</span>
        </label>
        <label>
          <input type="radio" name="policy" checked={draft.isAllowlist} onChange={() => change({ isAllowlist: true })} />
          <span>Only these domains</span>
        </label>
      </div>
      {draft.isAllowlist && (
        <>
          <label class="field">
            <span class="unseen">Allowed domains</span>
            <textarea
              name="domains"
              rows={3}
              spellcheck={false}
              placeholder={"example.com\n*.example.org\nexample.net:8443"}
              value={draft.domains}
              aria-invalid={wrong !== null}
              onInput={(event) => change({ domains: event.currentTarget.value })}
            />
          </label>
          {draft.secrets.map((secret, index) => (
            <div key={index} class="secret">
              <input
                aria-label={`Domain of secret ${index + 1}`}
                placeholder="domain"
                value={secret.domain}
                onInput={(event) => changeSecret(index, { domain: event.currentTarget.value })}
              />
              <input
                aria-label={`Name of secret ${index + 1}`}
                placeholder="NAME"
                value={secret.name}
                onInput={(event) => changeSecret(index, { name: event.currentTarget.value })}
              />
              <input
                type="password"
                autocomplete="off"
                aria-label={`Value of secret ${index + 1}`}
                placeholder="value"
                value={secret.value}
                onInput={(event) => changeSecret(index, { value: event.currentTarget.value })}
              />
              <Button
                kind="quiet"
                icon="close"
                label={`Remove secret ${index + 1}`}
                onPress={() => change({ secrets: draft.secrets.filter((_, at) => at !== index) })}
              />
            </div>
          ))}
          <div class="row">
            <Button
              small
              icon="plus"
              onPress={() => change({ secrets: [...draft.secrets, { domain: "", name: "", value: "" }] })}
            >
              Add a secret
            </Button>
            <span class="hint">Code sees $NAME; the value is put into requests to its domain, outside of the container.</span>
          </div>
        </>
      )}
      <Wrong text={wrong} />
    </fieldset>
  );
}
