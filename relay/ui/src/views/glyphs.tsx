/** Draws the page's few signs as inline vectors; each is decoration beside words or a label. */

import type { JSX } from "preact";

function glyph(path: JSX.Element): () => JSX.Element {
  return () => (
    <svg class="glyph" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {path}
    </svg>
  );
}

export const Mark = (): JSX.Element => (
  <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <path d="M6 24C6 14.5 10.6 8.500 16 8.500S26 14.500 26 24" />
    <circle cx="6" cy="24.500" r="3.600" />
    <circle cx="26" cy="24.500" r="3.600" />
    <circle class="mark-node" cx="16" cy="8.500" r="3.600" />
  </svg>
);
export const Cross = glyph(<path d="M4 4l8 8M12 4l-8 8" />);
export const More = glyph(<path d="M3.500 8h.01M8 8h.01M12.500 8h.01" class="thick" />);
export const Lens = glyph(<path d="M11.200 11.200L14 14M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0z" />);
export const Lock = glyph(<path d="M4 7.500h8v5.500H4zM5.700 7.500V5.300a2.300 2.300 0 0 1 4.600 0v2.200" />);
export const Down = glyph(<path d="M4 6.500l4 4 4-4" />);
export const Up = glyph(<path d="M4 9.500l4-4 4 4" />);
export const Plus = glyph(<path d="M8 3.500v9M3.500 8h9" />);
export const Eye = glyph(
  <path d="M1.500 8S4 3.800 8 3.800 14.500 8 14.500 8 12 12.200 8 12.200 1.500 8 1.500 8zM9.800 8a1.800 1.800 0 1 1-3.600 0 1.800 1.800 0 0 1 3.600 0z" />,
);
export const Keys = glyph(
  <path d="M1.800 4h12.400v8H1.800zM4.200 6.700h.01M6.700 6.700h.01M9.300 6.700h.01M11.800 6.700h.01M5 9.600h6" />,
);
export const Person = glyph(
  <path d="M10.700 5.200a2.700 2.700 0 1 1-5.400 0 2.700 2.700 0 0 1 5.400 0zM2.800 13.800c.5-2.700 2.600-4.200 5.200-4.200s4.700 1.500 5.200 4.200" />,
);
