// A file to the server, with its progress, which fetch does not tell.

import { answers, lost } from "../connection";
import { note } from "../journal";
import { AwayError, authorization, refusal } from "./client";

export interface Uploading<T> {
  done: Promise<T>;
  cancel: () => void;
}

export function upload<T>(
  path: string,
  file: File,
  title: string,
  fields: Record<string, string>,
  progress: (share: number) => void,
): Uploading<T> {
  note({ title, method: "POST", path, file: file.name, fields });
  const request = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    request.open("POST", `v1${path}`);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total, lengthComputable }) => lengthComputable && progress(loaded / total);
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText) as T);
      else reject(refusal(request.status, request.responseText));
    };
    request.onerror = () => void whyNot().then(reject);
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file);
    request.send(form);
  });
  return { done, cancel: () => request.abort() };
}

/** The browser does not tell what went wrong: it may as well be the file. */
async function whyNot(): Promise<Error> {
  if (await answers()) {
    return new Error("This could not be sent: it is a folder, the file has changed since, or it is more than the server takes.");
  }
  lost();
  return new AwayError();
}
