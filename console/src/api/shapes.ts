// What the server's API takes and gives, as far as the console uses it.

export interface Page<T> {
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

export const MEMORY_LIMITS = ["1g", "4g", "16g", "64g"] as const;
export type MemoryLimit = (typeof MEMORY_LIMITS)[number];

export interface ExpiresAfter {
  anchor: "last_active_at";
  minutes: number;
}

export interface DomainSecret {
  domain: string;
  name: string;
  value: string;
}

export type NetworkPolicy = { type: "disabled" } | { type: "allowlist"; allowed_domains: string[] };

export type NewNetworkPolicy =
  | { type: "disabled" }
  | { type: "allowlist"; allowed_domains: string[]; domain_secrets?: DomainSecret[] };

export interface Container {
  id: string;
  created_at: number;
  status: "running" | "expired";
  expires_after: ExpiresAfter;
  last_active_at: number;
  memory_limit: MemoryLimit;
  name: string;
  network_policy: NetworkPolicy;
}

export interface NewContainer {
  name: string;
  memory_limit?: MemoryLimit;
  expires_after?: ExpiresAfter;
  file_ids?: string[];
  network_policy?: NewNetworkPolicy;
}

export interface ContainerChange {
  name?: string;
  expires_after?: ExpiresAfter;
  network_policy?: NewNetworkPolicy;
  keep_domain_secrets?: boolean;
}

export interface ContainerFile {
  id: string;
  bytes: number;
  created_at: number;
  path: string;
  source: "user" | "assistant";
}

export interface ProjectFile {
  id: string;
  filename: string;
  bytes: number;
  created_at: number;
}

export interface Egress {
  id: string;
  created_at: number;
  name: string;
  port: number;
  allowed: boolean;
  reason: string;
  bytes_sent: number;
  bytes_received: number;
}

export interface Terminal {
  id: string;
  created_at: number;
  attached: boolean;
}

export type Output = { type: "logs"; logs: string } | { type: "image"; url: string } | { type: "html"; html: string };

export interface PythonCall {
  id: string;
  status: "in_progress" | "interpreting" | "completed" | "incomplete" | "failed";
  outputs: Output[];
  files: ContainerFile[];
}

export type PythonEvent =
  | { type: "response.code_interpreter_call.in_progress" }
  | { type: "response.code_interpreter_call.interpreting" }
  | { type: "response.code_interpreter_call_logs.delta"; delta: string }
  | { type: "response.code_interpreter_call_image.added"; url: string }
  | { type: "response.code_interpreter_call_html.added"; html: string }
  | { type: "response.code_interpreter_call.completed" }
  | { type: "response.output_item.done"; item: PythonCall }
  | { type: "error"; message: string };

export interface Sample {
  at: number;
  memory_bytes: number;
  cpu_cores: number;
  processes: number;
}

export interface Stats {
  sampled_at: number;
  memory: { used_bytes: number; limit_bytes: number | null };
  cpu: { used_seconds: number; cores: number; limit_cores: number | null };
  processes: { count: number; limit: number | null };
  disk: { used_bytes: number | null; limit_bytes: number | null };
  network: { sent_bytes: number; received_bytes: number; refused: number } | null;
  history: Sample[];
}

/** An event of a container; which further fields there are depends on its type. */
export interface ContainerEvent {
  type: string;
  id: string;
  at: number;
  [field: string]: unknown;
}
