// What went wrong, in words, told at once to who hears the page; nothing where nothing did.

export function Wrong({ text }: { text: string | null }) {
  return text ? (
    <p class="failure" role="alert">
      {text}
    </p>
  ) : null;
}
