// Shielding data files (PDK): a public part that the owner signs, and a content that only attested hosts can open.
import { encryptContent, sign } from "./algorithms.js";
import { serialiseContent } from "./content.js";
import { writeEncryptedData, writeSignature } from "./elements.js";
import { wipe } from "./octets.js";
import { derive, newProtector } from "./protector.js";
import { Refusal } from "./refusal.js";
import { build, buildBytes, buildText, canonical } from "./xmlwriting.js";

const NAMESPACE = "urn:open-guarded-fabric:shielding-data:1";
const QUALIFIERS_MAX = 64;

export const POLICIES = { Shielded: "Shielded", EncryptionSupported: "Encryption supported" };

/** What shielding data is for, and what each kind must hold. New kinds are appended. */
export const PDK_TYPES = {
  ForShieldedTemplates: { qualifiersMin: 1, qualifiersMax: QUALIFIERS_MAX },
};

/**
 * The octets of a new shielding data file.
 *
 * `owner` as `newOwner` or `openOwner` give it, `guardians` as in `openMetadata`, `qualifiers` of `qualifier()`,
 * `answerFile` octets, `files` a Map from name to octets. Throws a Refusal.
 */
export async function writePdk({ type, owner, guardians, policy, qualifiers, answerFile, files }) {
  checkPublic(type, policy, guardians, qualifiers);
  const plaintext = serialiseContent(NAMESPACE, answerFile, files);
  const { protector, transportKey } = await newProtector(owner, guardians);
  const open = writePublic(type, policy, protector, qualifiers);
  const key = await derive(transportKey, "shielding-data");
  wipe(transportKey);
  const encrypted = await encryptContent(key, plaintext, canonical(open));
  wipe(plaintext);
  const content = writeEncryptedData(NAMESPACE, encrypted, "EncryptedContent");
  const body = build(NAMESPACE, "Body", [open, content]);
  const signature = await sign(owner.signingKey, canonical(body));
  const children = [body, writeSignature(NAMESPACE, signature, "OwnerSignature")];
  return canonical(build(NAMESPACE, "ShieldingData", children, { Version: "1" }));
}

function checkPublic(type, policy, guardians, qualifiers) {
  if (!Object.hasOwn(PDK_TYPES, type) || !Object.hasOwn(POLICIES, policy)) {
    throw new Refusal("unknown-value", "This type or policy of shielding data is not known.");
  }
  const { qualifiersMin, qualifiersMax } = PDK_TYPES[type];
  if (qualifiers.length < qualifiersMin || qualifiers.length > qualifiersMax) {
    throw new Refusal(
      "qualifiers",
      `Shielding data for templates names ${qualifiersMin} to ${qualifiersMax} trusted template disks.`,
      "Add at least one catalog, or a disk by hand.",
    );
  }
  if (!guardians.length) {
    throw new Refusal(
      "no-guardian",
      "Shielding data without a guardian opens on no host.",
      "Add at least one guardian whose Host Guardian Service may release the keys.",
    );
  }
}

function writePublic(type, policy, protector, qualifiers) {
  return build(NAMESPACE, "Public", [
    buildText(NAMESPACE, "Type", type),
    buildText(NAMESPACE, "Policy", policy),
    buildBytes(NAMESPACE, "KeyProtector", protector),
    build(NAMESPACE, "VolumeIdQualifiers", qualifiers.map(writeQualifier)),
  ]);
}

function writeQualifier({ diskName, signerFingerprint, version, rule }) {
  return build(NAMESPACE, "VolumeIdQualifier", [
    buildText(NAMESPACE, "DiskName", diskName),
    buildBytes(NAMESPACE, "SignerFingerprint", signerFingerprint),
    buildText(NAMESPACE, "Version", version),
    buildText(NAMESPACE, "Rule", rule),
  ]);
}
