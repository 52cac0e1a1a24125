/** Owns the terminal's colours, light and dark; the page's own are in styles.css. */

import type { ISearchDecorationOptions } from "@xterm/addon-search";
import type { ITheme } from "@xterm/xterm";

const LIGHT: ITheme = {
  background: "#fbfaf7",
  foreground: "#23292b",
  cursor: "#1d6b5f",
  cursorAccent: "#fbfaf7",
  selectionBackground: "#cfe4de",
  black: "#23292b",
  red: "#b3362c",
  green: "#2f7140",
  yellow: "#8a6100",
  blue: "#2a5ea8",
  magenta: "#87418f",
  cyan: "#1d6b6f",
  white: "#6b7275",
  brightBlack: "#5d6568",
  brightRed: "#c24437",
  brightGreen: "#3a7d4b",
  brightYellow: "#946a06",
  brightBlue: "#356bb8",
  brightMagenta: "#964e9e",
  brightCyan: "#27777b",
  brightWhite: "#3f4649",
};

const DARK: ITheme = {
  background: "#101415",
  foreground: "#d9dedb",
  cursor: "#8fd6c4",
  cursorAccent: "#101415",
  selectionBackground: "#2c4a45",
  black: "#2b3235",
  red: "#ef7d71",
  green: "#88c593",
  yellow: "#e0b45c",
  blue: "#86b3ee",
  magenta: "#cf9bd6",
  cyan: "#79c9c8",
  white: "#c3cac7",
  brightBlack: "#7f898c",
  brightRed: "#f79a90",
  brightGreen: "#a3d8ac",
  brightYellow: "#efca80",
  brightBlue: "#a6c8f5",
  brightMagenta: "#debae3",
  brightCyan: "#9bdcdb",
  brightWhite: "#f2f5f3",
};

export function palette(dark: boolean): ITheme {
  return dark ? DARK : LIGHT;
}

export function searchColours(dark: boolean): ISearchDecorationOptions {
  return {
    matchBackground: dark ? "#5a4a1e" : "#f3e2ae",
    matchOverviewRuler: "#c09a3a",
    activeMatchBackground: dark ? "#b98a1f" : "#f0bd4a",
    activeMatchColorOverviewRuler: "#e0a92c",
  };
}
