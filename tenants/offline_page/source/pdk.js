// Shielding data files (PDK): a public part that the owner signs, and a content that only attested hosts can open.
import { encryptContent, sign } from "./algorithms.js";
import { substitutionStrings } from "./answerfile.js";
import { RDP_CERTIFICATE, RDP_PASSWORD, serialiseContent } from "./content.js";
import { writeEncryptedData, writeSignature } from "./elements.js";
import { textOf, wipe } from "./octets.js";
import { derive, newProtector } from "./protector.js";
import { checkRdpCertificate } from "./rdp.js";
import { Refusal } from "./refusal.js";
import { build, buildBytes, buildText, canonical } from "./xmlwriting.js";

const NAMESPACE = "urn:open-guarded-fabric:shielding-data:2";
const VERSION = "2";
const QUALIFIERS_MAX = 64;
export const FOR_TEMPLATES = "ForShieldedTemplates";
export const FOR_EXISTING = "ForExistingVirtualMachines";

export const POLICIES = { Shielded: "Shielded", EncryptionSupported: "Encryption supported" };

/** What shielding data is for, in words. */
export const PDK_TYPES = {
  [FOR_TEMPLATES]: "New virtual machines from template disks",
  [FOR_EXISTING]: "Virtual machines that exist already",
};

/** Whether the host leaves the owner a recovery key of each disk. */
export const RECOVERY_KEYS = { Escrow: "Left by the host, for you alone to open", None: "None" };

/**
 * The octets of a new shielding data file.
 *
 * `owner` as `newOwner` or `openOwner` give it, `guardians` as in `openMetadata`, `qualifiers` of `qualifier()`,
 * `answerFile` octets, `files` a Map from name to octets, `recoveryKey` a key of RECOVERY_KEYS. Throws a Refusal.
 */
export async function writePdk({ type, owner, guardians, policy, qualifiers, answerFile, files, recoveryKey }) {
  checkChoices(type, policy, recoveryKey);
  checkPublic(type, guardians, qualifiers);
  checkAnswered(type, answerFile);
  if (files.has(RDP_CERTIFICATE) && files.has(RDP_PASSWORD)) {
    const password = textOf(files.get(RDP_PASSWORD), "The RDP certificate's password is not UTF-8 text.");
    await checkRdpCertificate(files.get(RDP_CERTIFICATE), password);
  }
  const plaintext = serialiseContent(answerFile, files);
  const names = substitutionStrings(textOf(answerFile, "The answer file is not UTF-8 text."));
  const { protector, transportKey } = await newProtector(owner, guardians);
  const open = writePublic(type, policy, protector, qualifiers, names, recoveryKey);
  const key = await derive(transportKey, "shielding-data");
  wipe(transportKey);
  const encrypted = await encryptContent(key, plaintext, canonical(open));
  wipe(plaintext);
  const content = writeEncryptedData(NAMESPACE, encrypted, "EncryptedContent");
  const body = build(NAMESPACE, "Body", [open, content]);
  const signature = await sign(owner.signingKey, canonical(body));
  const children = [body, writeSignature(NAMESPACE, signature, "OwnerSignature")];
  return canonical(build(NAMESPACE, "ShieldingData", children, { Version: VERSION }));
}

function checkChoices(type, policy, recoveryKey) {
  const choices = [[PDK_TYPES, type], [POLICIES, policy], [RECOVERY_KEYS, recoveryKey]];
  if (!choices.every(([known, chosen]) => Object.hasOwn(known, chosen))) {
    throw new Refusal("unknown-value", "This type, policy or wish for a recovery key is not known.");
  }
}

function checkPublic(type, guardians, qualifiers) {
  if (type === FOR_EXISTING && qualifiers.length) {
    throw new Refusal(
      "qualifiers",
      "Shielding data for existing virtual machines names no template disks.",
      "Leave them out, or make shielding data for shielded templates.",
    );
  }
  if (type === FOR_TEMPLATES && (!qualifiers.length || qualifiers.length > QUALIFIERS_MAX)) {
    throw new Refusal(
      "qualifiers",
      `Shielding data for templates names 1 to ${QUALIFIERS_MAX} trusted template disks.`,
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

function checkAnswered(type, answerFile) {
  if (type === FOR_TEMPLATES && !answerFile.length) {
    throw new Refusal(
      "answer-file",
      "Shielding data for templates needs an answer file: it is all a new virtual machine is told.",
    );
  }
}

function writePublic(type, policy, protector, qualifiers, names, recoveryKey) {
  const strings = names.map((name) => buildText(NAMESPACE, "SubstitutionString", name));
  return build(NAMESPACE, "Public", [
    buildText(NAMESPACE, "Type", type),
    buildText(NAMESPACE, "Policy", policy),
    buildBytes(NAMESPACE, "KeyProtector", protector),
    build(NAMESPACE, "VolumeIdQualifiers", qualifiers.map(writeQualifier)),
    build(NAMESPACE, "SubstitutionStrings", strings),
    buildText(NAMESPACE, "RecoveryKey", recoveryKey),
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
