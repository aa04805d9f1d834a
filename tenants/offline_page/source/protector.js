// Key protectors: a transport key wrapped for the owner and for each guardian, signed by the owner ([MS-KPS] 2.2.2.3).
import {
  KEY_SIZE,
  authenticate,
  hkdfMethod,
  hkdfSha256,
  sign,
  unwrapTransportKey,
  wrapTransportKey,
} from "./algorithms.js";
import { KPS_NAMESPACE, writeEncryptedData, writeKeyDerivation, writeSignature } from "./elements.js";
import { random, same, utf8, wipe } from "./octets.js";
import { Refusal } from "./refusal.js";
import { build, buildBytes, buildText, canonical } from "./xmlwriting.js";

export const GUARDIANS_MAX = 15;
const OWNER_ID = "0";

function purposeInfo(purpose) {
  return utf8(`guarded-fabric/${purpose}`);
}

/** The key for one purpose: nothing is ever encrypted under the transport key itself. */
export async function derive(transportKey, purpose) {
  return hkdfSha256(transportKey, purposeInfo(purpose));
}

/** A fresh protector: `{ protector, transportKey }`, both octets. The caller wipes the transport key. */
export async function newProtector(owner, guardians) {
  const everyone = [owner.guardian, ...guardians];
  if (guardians.length > GUARDIANS_MAX) {
    throw new Refusal("too-many-guardians", `A key protector has at most ${GUARDIANS_MAX} guardians.`);
  }
  if (new Set(everyone.map((guardian) => guardian.fingerprint)).size !== everyone.length) {
    throw new Refusal("guardian-twice", "A guardian is named twice, or the owner is also named as a guardian.");
  }
  const transportKey = random(KEY_SIZE);
  const written = [];
  for (const [id, guardian] of everyone.entries()) {
    written.push(await wrapping(String(id), guardian, owner, transportKey));
  }
  return { protector: await seal(written, transportKey, owner.signingKey), transportKey };
}

async function wrapping(id, guardian, owner, transportKey) {
  const ns = KPS_NAMESPACE;
  const signature = await sign(owner.signingKey, guardian.signingCertificate);
  const encrypted = await wrapTransportKey(guardian.encryption.spki, transportKey);
  if (guardian === owner.guardian) await checkOpens(owner, encrypted.value, transportKey);
  return build(ns, "Wrapping", [
    buildText(ns, "Id", id),
    buildBytes(ns, "SigningCertificate", guardian.signingCertificate),
    build(ns, "SigningCertificateSignature", [writeSignature(ns, signature)], { ParentWrappingId: OWNER_ID }),
    buildBytes(ns, "EncryptionCertificate", guardian.encryptionCertificate),
    build(ns, "EncryptionCertificateSignature", [writeSignature(ns, guardian.encryptionCertificateSignature)]),
    build(ns, "TransportKey", [writeEncryptedData(ns, encrypted)]),
  ]);
}

/** The owner must be able to open and change later what is made now. */
async function checkOpens(owner, value, transportKey) {
  const opened = await unwrapTransportKey(owner.decryptionKey, value);
  if (!same(opened, transportKey)) {
    throw new Refusal("owner-cannot-open", "The owner guardian's keys do not open what is encrypted to them.");
  }
  wipe(opened);
}

async function seal(written, transportKey, signingKey) {
  const ns = KPS_NAMESPACE;
  const purpose = "transport-key-signature";
  const wrappings = build(ns, "Wrappings", written);
  const octets = canonical(wrappings);
  const authentication = await authenticate(await derive(transportKey, purpose), octets);
  const signature = await sign(signingKey, octets);
  return canonical(
    build(ns, "Protector", [
      wrappings,
      build(ns, "TransportKeySignature", [
        writeKeyDerivation(ns, hkdfMethod(purposeInfo(purpose))),
        writeSignature(ns, authentication),
      ]),
      build(ns, "GuardianSignature", [writeSignature(ns, signature)], { WrappingId: OWNER_ID }),
    ]),
  );
}
