// What is encrypted in shielding data: the answer file and other files.
import { checkAnswerFile } from "./answerfile.js";
import { textOf } from "./octets.js";
import { Refusal } from "./refusal.js";
import { build, buildBytes, canonical } from "./xmlwriting.js";

export const OTHER_FILES_MAX = 384 * 1024;
export const FILES_MAX = 64;
export const SSH_HOST_KEY = "ssh_host_ed25519_key";
export const AUTHORIZED_KEYS = "authorized_keys";
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

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
  const total = [...files.values()].reduce((size, octets) => size + octets.length, 0);
  if (total > OTHER_FILES_MAX) {
    throw new Refusal(
      "files-too-large",
      `The files have ${total} bytes together; at most ${OTHER_FILES_MAX / 1024} KiB are allowed.`,
      "Leave out large files and fetch them from inside the VM.",
    );
  }
}

/** The plaintext to encrypt, which the caller wipes. `answerFile` are octets, `files` a Map from name to octets. */
export function serialiseContent(namespace, answerFile, files) {
  checkAnswerFile(textOf(answerFile, "The answer file is not UTF-8 text."));
  checkFiles(files);
  const children = [buildBytes(namespace, "AnswerFile", answerFile)];
  for (const name of [...files.keys()].sort()) {
    children.push(buildBytes(namespace, "File", files.get(name), { Name: name }));
  }
  return canonical(build(namespace, "ShieldingContent", children, { Version: "1" }));
}
