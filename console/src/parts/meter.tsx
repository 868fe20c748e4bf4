// A small bar: how much of a limit is used.

export function Meter({ label, share }: { label: string; share: number }) {
  const percent = Math.min(100, Math.max(0, Math.round(share * 100)));
  return (
    <span class={`meter${percent >= 85 ? " high" : ""}`}>
      <span>{label}</span>
      <span class="bar" aria-hidden="true">
        <i style={{ width: `${Math.max(2, percent)}%` }} />
      </span>
    </span>
  );
}
