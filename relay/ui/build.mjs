// Bundles the page into dist/: hashed names, a compressed copy beside each file, and index.html naming them.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const next = join(here, `dist.${process.pid}`); // replaced in one step, so that nobody serves half a build
const assets = join(next, "assets");

await rm(next, { recursive: true, force: true });
await mkdir(assets, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: { relay: "src/main.tsx", icon: "src/icon.svg" },
  outdir: assets,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "linked",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  metafile: true,
  logLevel: "warning",
});

const made = Object.keys(result.metafile.outputs).map((path) => path.split("/").at(-1));
const named = (start, end) => made.find((name) => name.startsWith(start) && name.endsWith(end));
const html = (await readFile(join(here, "src/index.html"), "utf8"))
  .replace("{{script}}", named("relay-", ".js"))
  .replace("{{style}}", named("relay-", ".css"))
  .replace("{{icon}}", named("icon-", ".svg"));
for (const name of await readdir(assets)) {
  if (/\.(js|css|svg)$/.test(name)) {
    await writeFile(join(assets, `${name}.gz`), gzipSync(await readFile(join(assets, name)), { level: 9 }));
  }
}
await writeFile(join(next, "index.html"), html);
await rm(join(here, "dist"), { recursive: true, force: true });
await rename(next, join(here, "dist"));
