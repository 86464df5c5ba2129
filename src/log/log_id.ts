/** The ids that a store accepts: they are file names on every system, and never those of the store's own files. */
const LOG_ID = /^[A-Za-z0-9_-]{1,64}$/;

export function isLogId(id: string): boolean {
  return LOG_ID.test(id);
}

/** @throws TypeError where `id` is no log id. */
export function checkLogId(id: string): void {
  if (!isLogId(id)) throw new TypeError(`"${id}" is no log id: 1 to 64 characters of A-Z a-z 0-9 _ - are allowed`);
}
