// Puts the offline API page together: our page beside the files of swagger-ui-dist that it needs.
import { copyFile, mkdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const out = join(here, "dist", "docs");

const files = [
  [join(here, "docs"), "index.html"],
  [join(here, "docs"), "init.js"],
  [swagger, "swagger-ui.css"],
  [swagger, "swagger-ui-bundle.js"],
  // Its licence asks that these go where its code goes.
  [swagger, "swagger-ui-bundle.js.LICENSE.txt"],
  [swagger, "LICENSE"],
  [swagger, "NOTICE"],
];

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
for (const [folder, name] of files) {
  await copyFile(join(folder, name), join(out, name));
}
