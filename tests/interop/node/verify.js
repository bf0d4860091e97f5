"use strict";
// Answers questions about checkpoints, inclusion proofs and bundles with @sigstore/verify, unchanged.
//
// Reads one JSON object a line, {"op": ..., arguments}, and writes one a line: {"result": ...}, {"refused": "why"} where
// the package refuses what it was given, or {"broken": "why"} for anything else that goes wrong. Bytes are base64.
//
// `bundle` asks what the package exports. `checkpoint` and `inclusion` ask two of its modules below dist/tlog, which
// it does not export by name: the same that the exported Verifier calls for an entry's inclusion proof.
const readline = require("node:readline");
const { ValidationError, bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { VerificationError, Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");
const { verifyTLogInclusion } = require("@sigstore/verify/dist/tlog");
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint");

const bytes = (text) => Buffer.from(text, "base64");

/** What is trusted: one log, by its name, its key (SPKI) and the key id that stands in its signature lines. */
function trusted({ log, signer }) {
  const root = TrustedRoot.fromJSON({
    tlogs: [
      {
        baseUrl: `https://${log.origin}`,
        hashAlgorithm: "SHA2_256",
        publicKey: { rawBytes: log.key, keyDetails: "PKIX_ED25519", validFor: { start: "2020-01-01T00:00:00Z" } },
        logId: { keyId: log.keyId },
        checkpointKeyId: { keyId: log.keyId },
      },
    ],
  });
  const keys = signer ? { [signer.hint]: { rawBytes: bytes(signer.key) } } : {};
  return toTrustMaterial(root, keys);
}

function entryOf({ log, note, index, hashes, entry }) {
  return {
    logId: { keyId: bytes(log.keyId) },
    inclusionProof: {
      logIndex: String(index),
      hashes: (hashes ?? []).map(bytes),
      checkpoint: { envelope: bytes(note).toString("utf8") },
    },
    canonicalizedBody: bytes(entry ?? ""),
  };
}

const operations = {
  /** The origin, size and root of `note`, its signature verified. */
  checkpoint(asked) {
    const found = verifyCheckpoint(entryOf(asked), trusted(asked).tlogs);
    return { origin: found.origin, size: String(found.logSize), root: found.logHash.toString("base64") };
  },
  /** Whether `entry` is at `index` of the log whose checkpoint is `note`, by `hashes`. */
  inclusion(asked) {
    verifyTLogInclusion(entryOf(asked), trusted(asked).tlogs);
    return true;
  },
  /** Whether `bundle`, signed by `signer`, with its entry in the log, verifies as a whole. */
  bundle(asked) {
    const options = { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0 };
    new Verifier(trusted(asked), options).verify(toSignedEntity(bundleFromJSON(asked.bundle)));
    return true;
  },
};

function answer(line) {
  try {
    const asked = JSON.parse(line);
    return { result: operations[asked.op](asked) };
  } catch (error) {
    if (error instanceof VerificationError) return { refused: `${error.code}: ${error.message}` };
    if (error instanceof ValidationError) return { refused: error.message };
    return { broken: String(error.stack) };
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(answer(line))}\n`);
});
