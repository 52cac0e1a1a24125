/** Lets xterm.js make its style elements under the page's policy, which asks each for the nonce of this answer. */

/**
 * From here on every style element that a script makes carries the nonce; markup that somebody smuggles in does not.
 * xterm.js has a `documentOverride` for this kind of thing, and in 6.0 its scroll bar makes a style element past it.
 */
export function allowStyles(page: Document, nonce: string): void {
  const plain = page.createElement.bind(page);
  page.createElement = ((tag: string, options?: ElementCreationOptions): HTMLElement => {
    const made = plain(tag, options);
    if (made instanceof HTMLStyleElement) made.nonce = nonce;
    return made;
  }) as Document["createElement"];
}
