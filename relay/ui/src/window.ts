/** Decides which rows of a long list exist on the page: those in sight and a few around them. */

const AROUND = 8; // rows kept above and below, so that a quick scroll shows rows and not white

export interface Rows {
  first: number;
  last: number; // exclusive
  above: number; // pixels
  total: number; // pixels
}

export function rowsInSight(count: number, rowPixels: number, scrolled: number, height: number): Rows {
  const first = Math.max(0, Math.floor(scrolled / rowPixels) - AROUND);
  const last = Math.min(count, Math.ceil((scrolled + height) / rowPixels) + AROUND);
  return { first: Math.min(first, last), last, above: Math.min(first, last) * rowPixels, total: count * rowPixels };
}

/** Where to scroll so that a row is in sight, moving as little as possible. */
export function scrollTo(row: number, rowPixels: number, scrolled: number, height: number): number {
  const top = row * rowPixels;
  if (top < scrolled) return top;
  return top + rowPixels > scrolled + height ? top + rowPixels - height : scrolled;
}
