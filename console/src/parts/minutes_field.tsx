// How long a container is kept without use.

interface Props {
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  isWrong?: boolean;
}

export function MinutesField({ value, onChange, placeholder = "", isWrong = false }: Props) {
  return (
    <label class="field">
      <span>Expires after so many minutes without use</span>
      <input
        name="minutes"
        type="number"
        min="1"
        inputmode="numeric"
        placeholder={placeholder}
        value={value}
        aria-invalid={isWrong}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </label>
  );
}
