// A container's network policy, changed one step after the other, each made from the policy as it is by then: others
// may have changed it, and so may the step before.

import { RefusedError, ask } from "./client";
import { look } from "./containers";
import type { Container, ContainerChange, NewNetworkPolicy } from "./shapes";

export class Policy {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly containerId: string) {}

  /** Allow a domain beside those that are allowed. Throws what `ask` throws, as everything here does. */
  allow(domain: string): Promise<void> {
    return this.change(`Allow ${domain}`, (allowed) => (allowed.includes(domain) ? allowed : [...allowed, domain]));
  }

  /** Allow a domain no more; without any other there is no network. */
  forbid(domain: string): Promise<void> {
    return this.change(`Allow ${domain} no more`, (allowed) => allowed.filter((one) => one !== domain));
  }

  replace(policy: NewNetworkPolicy, keepsSecrets: boolean): Promise<void> {
    return this.inTurn(() => this.send("Change the network policy", policy, keepsSecrets));
  }

  private change(title: string, to: (allowed: readonly string[]) => readonly string[]): Promise<void> {
    return this.inTurn(async () => {
      const container = await look(this.containerId);
      if (container === null) throw new RefusedError(404, "This container is gone.");
      const policy = container.network_policy;
      const domains = to(policy.type === "allowlist" ? policy.allowed_domains : []);
      const wanted: NewNetworkPolicy =
        domains.length > 0 ? { type: "allowlist", allowed_domains: [...domains] } : { type: "disabled" };
      await this.send(title, wanted, true);
    });
  }

  private async send(title: string, policy: NewNetworkPolicy, keepsSecrets: boolean): Promise<void> {
    const body: ContainerChange = { network_policy: policy, keep_domain_secrets: keepsSecrets };
    await ask<Container>("POST", `/containers/${this.containerId}`, { body, title });
  }

  private inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.last.then(step);
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
