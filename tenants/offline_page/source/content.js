// What is encrypted in shielding data: the answer file and other files.
import { checkAnswerFile } from "./answerfile.js";
import { textOf } from "./octets.js";
import { Refusal } from "./refusal.js";
import { build, buildBytes, canonical } from "./xmlwriting.js";

const NAMESPACE = "urn:open-guarded-fabric:shielding-data:1"; // in files of every version
export const OTHER_FILES_MAX = 384 * 1024;
export const FILES_MAX = 64;
export const CONFIGURATION_SCRIPT_MAX = 64 * 1024;
export const SSH_HOST_KEY = "ssh_host_ed25519_key";
export const AUTHORIZED_KEYS = "authorized_keys";
export const CONFIGURATION_SCRIPT = "configuration-script";
export const RDP_CERTIFICATE = "rdp_certificate.pfx";
export const RDP_PASSWORD = "rdp_certificate.password";
/** Names of files that mean something to the guest; any other file is only copied. */
export const ROLES = [SSH_HOST_KEY, AUTHORIZED_KEYS, CONFIGURATION_SCRIPT, RDP_CERTIFICATE, RDP_PASSWORD];
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NEEDED_BY_WINDOWS = [RDP_CERTIFICATE, RDP_PASSWORD, CONFIGURATION_SCRIPT];

export function checkFileName(name) {
  if (!FILE_NAME.test(name)) {
    throw new Refusal(
      "file-name",
      `“${name.slice(0, 70)}” cannot be the name of a file in shielding data.`,
      "Use 1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit.",
    );
  }
}

/** Refuse files (name → octets) that shielding data cannot hold. */
export function checkFiles(files) {
  if (files.size > FILES_MAX) throw new Refusal("too-many-files", `Shielding data holds at most ${FILES_MAX} files.`);
  const names = [...files.keys()];
  names.forEach(checkFileName);
  if (new Set(names.map((name) => name.toLowerCase())).size !== names.length) {
    throw new Refusal("file-name", "Two files in the shielding data have the same name.");
  }
  checkRoles(files);
  const total = [...files.values()].reduce((size, octets) => size + octets.length, 0);
  if (total > OTHER_FILES_MAX) {
    throw new Refusal(
      "files-too-large",
      `The files have ${total} bytes together; at most ${OTHER_FILES_MAX / 1024} KiB are allowed.`,
      "Leave out large files and fetch them from inside the VM.",
    );
  }
}

function checkRoles(files) {
  const script = files.get(CONFIGURATION_SCRIPT);
  if (script && script.length > CONFIGURATION_SCRIPT_MAX) {
    throw new Refusal(
      "configuration-script",
      `The configuration script has ${script.length} bytes; ${CONFIGURATION_SCRIPT_MAX / 1024} KiB is most.`,
      "Let the script fetch what it needs.",
    );
  }
  if (files.has(RDP_CERTIFICATE) !== files.has(RDP_PASSWORD)) {
    throw new Refusal(
      "rdp-certificate",
      `${RDP_CERTIFICATE} and ${RDP_PASSWORD} belong together, and one of them is missing.`,
      "Give the RDP certificate as a PFX file together with its password.",
    );
  }
}

/** The files with a role that a Windows answer file, as `gf answer-file new` writes it, refers to. */
export function neededFiles(text) {
  return NEEDED_BY_WINDOWS.filter((name) => {
    const quoted = name.replaceAll(".", "\\.");
    return new RegExp(`C:\\\\temp\\\\${quoted}(?![\\p{L}\\p{N}_.*\\-])`, "u").test(text);
  });
}

/** The plaintext to encrypt, which the caller wipes. `answerFile` are octets, `files` a Map from name to octets. */
export function serialiseContent(answerFile, files) {
  const text = textOf(answerFile, "The answer file is not UTF-8 text.");
  if (text) checkAnswerFile(text);
  checkFiles(files);
  const children = [buildBytes(NAMESPACE, "AnswerFile", answerFile)];
  for (const name of [...files.keys()].sort()) {
    children.push(buildBytes(NAMESPACE, "File", files.get(name), { Name: name }));
  }
  return canonical(build(NAMESPACE, "ShieldingContent", children, { Version: "1" }));
}
