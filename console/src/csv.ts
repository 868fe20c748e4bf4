// Comma-separated values (RFC 4180), with the separator that the first line has most of.

export function separatorOf(text: string): string {
  const line = text.slice(0, text.search(/[\r\n]|$/));
  const count = (one: string): number => line.split(one).length;
  return [",", ";", "\t"].reduce((best, one) => (count(one) > count(best) ? one : best));
}

export interface Table {
  /** The head first. */
  rows: string[][];
  hasMoreRows: boolean;
  /** How many the widest of the rows has, also those that are left out. */
  columns: number;
}

/** Give the first rows, and of each the first columns. */
export function readTable(text: string, separator: string, rowsMax: number, columnsMax: number): Table {
  const rows: string[][] = [];
  let row: string[] = [];
  let count = 0;
  let columns = 0;
  let field = "";
  let isQuoted = false;
  const endField = (): void => {
    if (count < columnsMax) row.push(field);
    count += 1;
    columns = Math.max(columns, count);
    field = "";
  };
  const endRow = (): void => {
    endField();
    rows.push(row);
    row = [];
    count = 0;
  };
  let at = 0;
  for (; at < text.length && rows.length < rowsMax; at += 1) {
    const char = text[at];
    if (isQuoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else isQuoted = false;
    } else if (char === '"' && field === "") isQuoted = true;
    else if (char === separator) endField();
    else if (char === "\n") endRow();
    else if (char !== "\r") field += char;
  }
  if ((field !== "" || count > 0) && rows.length < rowsMax) endRow();
  return { rows, hasMoreRows: at < text.length, columns };
}
