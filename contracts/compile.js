"use strict";
// Compiles the contract with solc-js and writes the artifact that the Python package carries.
//
// Run by ./build:
//
//   contracts/build           write ../provenance/chains/artifacts/CheckpointAnchor.json
//   contracts/build --check   fail (exit 1) unless that file is byte for byte what would be written
//
// The output depends on the sources, the settings below and the compiler's version alone: keys are in a fixed order,
// sources go by their path under contracts/, and the bytecode ends in no metadata.
// Both forms install the pinned npm packages first when they are missing. Works on Node.js 18 and later.
const { spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const path = require("node:path");

const CONTRACT = "CheckpointAnchor";
const SOURCES = ["src/CheckpointAnchor.sol", "src/interfaces/ICheckpointAnchor.sol"];
const ARTIFACT = path.join(__dirname, "..", "provenance", "chains", "artifacts", `${CONTRACT}.json`);
const INSTALL_TIMEOUT_MS = 600_000;

// foundry.toml holds the same settings; a Foundry test compares the two results.
const SETTINGS = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

class BuildError extends Error {}

function readPackage(...parts) {
  return JSON.parse(readFileSync(path.join(__dirname, ...parts, "package.json"), "utf8"));
}

function isInstalled(name, version) {
  return (
    existsSync(path.join(__dirname, "node_modules", name, "package.json")) &&
    readPackage("node_modules", name).version === version
  );
}

/** Installs what package-lock.json pins, by its hashes, unless it is there; no package's script is run. */
function install() {
  const { dependencies, devDependencies } = readPackage();
  // npm has Foundry for this platform alone; elsewhere only the compiler is installed, and `check` takes $FORGE.
  const hasForge = process.platform === "linux" && process.arch === "x64";
  const wanted = Object.entries({ ...dependencies, ...(hasForge ? devDependencies : {}) });
  if (wanted.every(([name, version]) => isInstalled(name, version))) return;
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const bounds = ["--fetch-timeout=60000", "--fetch-retries=3", "--fetch-retry-maxtimeout=20000"];
  const omitted = hasForge ? [] : ["--omit=dev"];
  process.stderr.write("contracts: installing the pinned npm packages\n");
  const npm = spawnSync("npm", ["ci", ...options, ...bounds, ...omitted], {
    cwd: __dirname,
    stdio: ["ignore", 2, 2],
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (npm.error?.code === "ENOENT") {
    throw new BuildError("npm is not installed; on Debian: apt-get install nodejs npm");
  }
  if (npm.error || npm.status !== 0) {
    const reason = npm.error ? npm.error.message : `exit ${npm.status ?? npm.signal}`;
    throw new BuildError(`npm ci failed (${reason}); it needs the npm registry once, then works offline`);
  }
}

function compile(sources) {
  const compiler = require("solc");
  const version = compiler.version();
  const expected = readPackage().dependencies.solc;
  if (!version.startsWith(`${expected}+commit.`)) {
    throw new BuildError(`wrong compiler: expected ${expected}, got ${version}; remove contracts/node_modules`);
  }
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }])),
    settings: {
      ...SETTINGS,
      outputSelection: { "*": { [CONTRACT]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(compiler.compile(JSON.stringify(input)));
  const problems = output.errors ?? [];
  if (problems.length > 0) {
    throw new BuildError(problems.map((problem) => problem.formattedMessage).join("\n"));
  }
  return { version: expected, contract: output.contracts[SOURCES[0]][CONTRACT] };
}

function sha256(content) {
  return createHash("sha256").update(content).digest("hex");
}

function encodeArtifact() {
  const sources = Object.fromEntries(SOURCES.map((name) => [name, readFileSync(path.join(__dirname, name), "utf8")]));
  const { version, contract } = compile(sources);
  const artifact = {
    contractName: CONTRACT,
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
    compiler: { version, ...SETTINGS },
    sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, sha256(content)])),
  };
  return `${JSON.stringify(artifact, null, 2)}\n`;
}

/** Throws unless the committed artifact is `built`; names the parts that differ. */
function check(built) {
  const name = path.relative(process.cwd(), ARTIFACT);
  if (!existsSync(ARTIFACT)) throw new BuildError(`${name} is missing; run contracts/build and commit it`);
  const committed = readFileSync(ARTIFACT, "utf8");
  if (committed === built) return;
  const differing = [];
  try {
    const [left, right] = [JSON.parse(committed), JSON.parse(built)];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const [was, is] = [JSON.stringify(left[key]) ?? "nothing", JSON.stringify(right[key]) ?? "nothing"];
      if (was !== is) differing.push(`  ${key}\n    committed: ${brief(was)}\n    rebuilt:   ${brief(is)}`);
    }
  } catch {
    differing.push("  the committed file is not JSON");
  }
  if (differing.length === 0) differing.push("  white space or the order of keys");
  const verdict = `${name} is not what the sources compile to; it differs in:`;
  throw new BuildError([verdict, ...differing, "run contracts/build and commit it"].join("\n"));
}

/** The text itself if it is short, else its digest, its size and how it begins. */
function brief(text) {
  return text.length <= 160 ? text : `${text.slice(0, 60)}... (${text.length} characters, sha256 ${sha256(text)})`;
}

function write(built) {
  mkdirSync(path.dirname(ARTIFACT), { recursive: true });
  const temporary = `${ARTIFACT}.${process.pid}.tmp`;
  writeFileSync(temporary, built);
  renameSync(temporary, ARTIFACT);
}

function main(options) {
  if (options.length > 1 || (options.length === 1 && options[0] !== "--check")) {
    process.stderr.write("usage: contracts/build [--check]\n");
    return 2;
  }
  try {
    install();
    const built = encodeArtifact();
    if (options.length === 1) check(built);
    else write(built);
    const verdict = options.length === 1 ? "rebuilt byte for byte" : "written";
    process.stdout.write(`${path.relative(process.cwd(), ARTIFACT)}: ${verdict}, sha256 ${sha256(built)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`contracts/build: ${error.message}\n`);
    return 1;
  }
}

process.exitCode = main(process.argv.slice(2));
