// Guardians: a signing and an encryption certificate, bound by the signing key ([MS-KPS] 2.2.2.4, 6.4).
import { certificateSigner, decryptionKeyFrom, isSigned, newRsaKey, sign, signingKeyFrom } from "./algorithms.js";
import { certificateFor, fingerprintOf, issueSelfSigned, publicOfPrivate } from "./certificate.js";
import { same } from "./octets.js";
import { Refusal } from "./refusal.js";

export const OTHER_SIGNING_MAX = 16;
const RSA_KEY_NEW = 3072;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9._-])?$/;

export function checkName(name) {
  if (!NAME.test(name)) {
    throw new Refusal(
      "guardian-name",
      "The guardian's name is not acceptable.",
      "Use 1 to 40 letters, digits, spaces, dots, hyphens or underscores, beginning with a letter or digit.",
    );
  }
  return name;
}

/**
 * A guardian whose two certificate signatures were checked: `{ name, signingCertificate, encryptionCertificate,
 * signingCertificateSignature, encryptionCertificateSignature, otherSigningCertificates, fingerprint, … }`.
 */
export async function guardianFrom(name, parts) {
  checkName(name);
  const signing = certificateFor(parts.signingCertificate, "signing");
  const encryption = certificateFor(parts.encryptionCertificate, "encryption");
  if (!(await isSigned(signing.spki, parts.signingCertificateSignature, signing.octets))) {
    throw new Refusal("signing-certificate-signature", "The guardian's signing certificate is not self-signed.");
  }
  if (!(await isSigned(signing.spki, parts.encryptionCertificateSignature, encryption.octets))) {
    throw new Refusal(
      "encryption-certificate-signature",
      "The guardian's encryption certificate is not signed by its signing certificate.",
    );
  }
  for (const other of parts.otherSigningCertificates ?? []) certificateFor(other, "signing");
  return {
    otherSigningCertificates: [],
    ...parts,
    name,
    signing,
    encryption,
    fingerprint: await fingerprintOf(signing.octets),
    encryptionFingerprint: await fingerprintOf(encryption.octets),
  };
}

/**
 * New keys and certificates. Gives `{ guardian, signingPkcs8, encryptionPkcs8 }`: the caller locks the private keys up
 * and wipes them. `now` is a Date.
 */
export async function createGuardian(name, now, bits = RSA_KEY_NEW) {
  checkName(name);
  const [signing, encryption] = await Promise.all([newRsaKey(bits), newRsaKey(bits)]);
  const certificate = async (key, use) =>
    issueSelfSigned({
      commonName: `${name} guardian ${use}`,
      spki: key.spki,
      sign: await certificateSigner(key.pkcs8),
      use,
      now,
    });
  const signingCertificate = await certificate(signing, "signing");
  const encryptionCertificate = await certificate(encryption, "encryption");
  const key = await signingKeyFrom(signing.pkcs8);
  const guardian = await guardianFrom(name, {
    signingCertificate,
    encryptionCertificate,
    signingCertificateSignature: await sign(key, signingCertificate),
    encryptionCertificateSignature: await sign(key, encryptionCertificate),
  });
  return { guardian, signingPkcs8: signing.pkcs8, encryptionPkcs8: encryption.pkcs8 };
}

/** The guardian with its private keys for use; checks that they match the certificates. */
export async function attachKeys(guardian, signingPkcs8, encryptionPkcs8) {
  checkPair(guardian.signing, signingPkcs8, "signing");
  checkPair(guardian.encryption, encryptionPkcs8, "encryption");
  const [signingKey, decryptionKey] = await Promise.all([
    signingKeyFrom(signingPkcs8),
    decryptionKeyFrom(encryptionPkcs8),
  ]);
  return { guardian, signingKey, decryptionKey };
}

function checkPair(certificate, pkcs8, use) {
  if (!same(publicOfPrivate(pkcs8), certificate.spki)) {
    throw new Refusal("key-mismatch", `The ${use} key is not the key of the ${use} certificate.`);
  }
}
