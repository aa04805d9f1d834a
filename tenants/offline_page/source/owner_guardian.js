// The owner guardian file: a guardian with its private keys under a passphrase, as `gf guardian new` writes it.
import { CERTIFICATE_MAX } from "./certificate.js";
import { readSignature, writeSignature } from "./elements.js";
import { attachKeys, createGuardian, guardianFrom } from "./guardian.js";
import { same, utf8, wipe } from "./octets.js";
import { openPfx, writePfx } from "./pfx.js";
import { Refusal } from "./refusal.js";
import { Fields, elementBytes, elementText, parseDocument } from "./xmlform.js";
import { build, buildBytes, buildText, canonical } from "./xmlwriting.js";

const NAMESPACE = "urn:open-guarded-fabric:owner-guardian:1";
export const OWNER_FILE_MAX = 128 * 1024;
const PKCS12_MAX = 16 * 1024;
const PASSPHRASE_MIN = 8;

export function checkPassphrase(passphrase) {
  if (utf8(passphrase).length < PASSPHRASE_MIN) {
    throw new Refusal(
      "passphrase-short",
      `The passphrase has fewer than ${PASSPHRASE_MIN} characters.`,
      "Choose a longer one: it is all that protects the file.",
    );
  }
}

/** A new owner: `{ owner, file }` with its keys for use and the octets of its file. `now` is a Date. */
export async function newOwner(name, passphrase, now, { bits, rounds } = {}) {
  checkPassphrase(passphrase);
  const { guardian, signingPkcs8, encryptionPkcs8 } = await createGuardian(name, now, bits);
  const signing = await writePfx(signingPkcs8, guardian.signingCertificate, passphrase, rounds);
  const encryption = await writePfx(encryptionPkcs8, guardian.encryptionCertificate, passphrase, rounds);
  const owner = await attachKeys(guardian, signingPkcs8, encryptionPkcs8);
  wipe(signingPkcs8, encryptionPkcs8);
  return { owner, file: serialise(guardian, signing, encryption) };
}

/** The owner in a file, with its keys for use. Throws a Refusal. */
export async function openOwner(octets, passphrase) {
  const { guardian, signing, encryption } = await parse(octets);
  const signingPkcs8 = await openPfx(signing, passphrase);
  const encryptionPkcs8 = await openPfx(encryption, passphrase);
  const owner = await attachKeys(guardian, signingPkcs8, encryptionPkcs8);
  wipe(signingPkcs8, encryptionPkcs8);
  return owner;
}

function serialise(guardian, signing, encryption) {
  return canonical(
    build(
      NAMESPACE,
      "OwnerGuardian",
      [
        buildText(NAMESPACE, "Name", guardian.name),
        buildBytes(NAMESPACE, "SigningCertificate", guardian.signingCertificate),
        buildBytes(NAMESPACE, "EncryptionCertificate", guardian.encryptionCertificate),
        writeSignature(NAMESPACE, guardian.signingCertificateSignature, "SigningCertificateSignature"),
        writeSignature(NAMESPACE, guardian.encryptionCertificateSignature, "EncryptionCertificateSignature"),
        buildBytes(NAMESPACE, "SigningKey", signing),
        buildBytes(NAMESPACE, "EncryptionKey", encryption),
      ],
      { Version: "1" },
    ),
  );
}

async function parse(octets) {
  const root = parseDocument(octets, { namespace: NAMESPACE, name: "OwnerGuardian", limit: OWNER_FILE_MAX });
  const fields = new Fields(root, ["Version"]);
  if (fields.attribute("Version") !== "1") {
    throw new Refusal("owner-version", "This owner guardian file was made by a newer program.");
  }
  const name = elementText(fields.take("Name"));
  const parts = {
    signingCertificate: elementBytes(fields.take("SigningCertificate"), { most: CERTIFICATE_MAX }),
    encryptionCertificate: elementBytes(fields.take("EncryptionCertificate"), { most: CERTIFICATE_MAX }),
    signingCertificateSignature: readSignature(fields.take("SigningCertificateSignature")),
    encryptionCertificateSignature: readSignature(fields.take("EncryptionCertificateSignature")),
  };
  const signing = elementBytes(fields.take("SigningKey"), { most: PKCS12_MAX });
  const encryption = elementBytes(fields.take("EncryptionKey"), { most: PKCS12_MAX });
  fields.end();
  const guardian = await guardianFrom(name, parts);
  if (!same(serialise(guardian, signing, encryption), octets)) {
    throw new Refusal("not-canonical", "The owner guardian file has more than one way to be written.");
  }
  return { guardian, signing, encryption };
}
