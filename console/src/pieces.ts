// Pieces of the page that come only when there is use for them: the editor, the terminal, charts, documents.

import { answers } from "./connection";

/** Give a piece that is being imported. Throws words for people: a newer server has other files than this page knows. */
export async function piece<T>(importing: Promise<T>): Promise<T> {
  try {
    return await importing;
  } catch {
    throw new Error(
      (await answers())
        ? "This page is older than the server, which has the rest of it no more: load the page again."
        : "The server does not answer, and the rest of this page is still there: load the page again when it is back.",
    );
  }
}
