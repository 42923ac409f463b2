// Signs with sigstore-js, puts the signature into a log, and verifies the
// bundle. What to do comes as JSON on standard input, the bundle goes to
// standard output; whatever does not hold ends the program with an error.

import { createPrivateKey, sign as signBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { bundleFromJSON, bundleToJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { DSSEBundleBuilder, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } from '@sigstore/sign';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';

const job = JSON.parse(await text(process.stdin));
const data = Buffer.from(job.data, 'base64');
const key = createPrivateKey(job.key);

const options = {
  signer: {
    sign: async (message) => ({
      signature: signBytes('sha256', message, key),
      key: { $case: 'x509Certificate', certificate: job.certificate },
    }),
  },
  witnesses: [
    new RekorWitness({ rekorBaseURL: job.rekor, majorApiVersion: job.version, fetchOnConflict: true }),
    new TSAWitness({ tsaBaseURL: job.tsa }),
  ],
};
const builder = job.type ? new DSSEBundleBuilder(options) : new MessageSignatureBundleBuilder(options);
const made = bundleToJSON(await builder.create({ data, type: job.type }));

// Once more through JSON, as bundles travel.
const bundle = bundleFromJSON(JSON.parse(JSON.stringify(made)));
const trust = toTrustMaterial(TrustedRoot.fromJSON(job.trustedRoot));
const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 1, timestampThreshold: 1 });
const policy = { subjectAlternativeName: job.identity };
verifier.verify(toSignedEntity(bundle, data), policy);

function refused(what, verify) {
  try {
    verify();
  } catch {
    return;
  }
  throw new Error(`${what} was verified`);
}

refused('another identity', () => verifier.verify(toSignedEntity(bundle, data), { subjectAlternativeName: 'mallory@example.com' }));
if (!job.type) {
  refused('another artifact', () => verifier.verify(toSignedEntity(bundle, Buffer.from('another')), policy));
}
const moved = structuredClone(made);
moved.verificationMaterial.tlogEntries[0].inclusionProof.rootHash = Buffer.alloc(32).toString('base64');
moved.verificationMaterial.tlogEntries[0].inclusionProof.logIndex = '99';
refused('an entry at another place', () => verifier.verify(toSignedEntity(bundleFromJSON(moved), data), policy));

process.stdout.write(JSON.stringify(made));
