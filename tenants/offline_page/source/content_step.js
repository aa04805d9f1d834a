// Step 4: policy, answer file, SSH keys and other files.
import { ANSWER_FILE_MAX, checkAnswerFile, defaultLinuxAnswerFile } from "./answerfile.js";
import { AUTHORIZED_KEYS, OTHER_FILES_MAX, SSH_HOST_KEY, checkFileName, checkFiles } from "./content.js";
import { byId, chosen, clear, element, removeButton } from "./dom.js";
import { textOf, utf8, wipe } from "./octets.js";
import { about, announce, attempt, problem } from "./problems.js";
import { Refusal } from "./refusal.js";
import { readFile } from "./saving.js";
import { hashPassword } from "./sha512_crypt.js";
import { HOST_KEY_MAX, checkAuthorizedKeys, hostKeyLine, newHostKey } from "./ssh.js";

const PASSWORD_MAX = 1024;
const others = [];
let made = 0;

export function startContentStep() {
  const form = byId("content-form");
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("other-file").addEventListener("change", (event) => {
    void attempt(form, "other-file", () => about("other-file", () => addFiles([...event.target.files])));
  });
}

export function policyForUse() {
  return chosen("policy");
}

/** `{ answerFile, files, hostLine }`; the caller wipes it with `wipeContent`. `progress` is told the part done. */
export async function contentForUse(progress) {
  checkPasswords();
  const authorized = byId("authorized-keys").value;
  const keys = authorized.trim() ? await about("authorized-keys", () => checkAuthorizedKeys(authorized)) : "";
  const named = await othersByName();
  const hostKey = await hostKeyForUse();
  const files = new Map([...named, [SSH_HOST_KEY, hostKey.file]]);
  if (keys) files.set(AUTHORIZED_KEYS, utf8(keys));
  await about("other-file", () => checkFiles(files));
  return { answerFile: await answerFileForUse(progress), files, hostLine: hostKey.line };
}

/** Overwrite what was made. */
export function wipeContent({ answerFile, files }) {
  wipe(answerFile, files.get(SSH_HOST_KEY));
}

/** Empty the fields with secrets. */
export function clearSecretFields() {
  clear("root-password", "root-repeat", "host-key-file", "answer-file");
}

function checkPasswords() {
  if (chosen("answer-source") !== "linux") return;
  const password = byId("root-password").value;
  if (!password) throw problem("root-password", "no-password", "Give the password of root.");
  // The hash begins with as many copies of the password as it has bytes.
  if (password.length > PASSWORD_MAX) {
    throw problem("root-password", "password-long", `A password has at most ${PASSWORD_MAX} characters.`);
  }
  if (byId("root-repeat").value !== password) {
    throw problem("root-repeat", "password-differs", "The two passwords are not the same.");
  }
}

async function answerFileForUse(progress) {
  if (chosen("answer-source") === "linux") {
    return utf8(defaultLinuxAnswerFile(await hashPassword(byId("root-password").value, progress)));
  }
  return about("answer-file", async () => {
    const octets = await chosenFile("answer-file", ANSWER_FILE_MAX, "Choose the answer file.");
    checkAnswerFile(textOf(octets, "The answer file is not UTF-8 text."));
    return octets;
  });
}

async function hostKeyForUse() {
  return about(chosen("host-key-source") === "new" ? "make-button" : "host-key-file", async () => {
    if (chosen("host-key-source") === "new") return newHostKey();
    const file = await chosenFile("host-key-file", HOST_KEY_MAX, "Choose the private key.");
    return { file, line: await hostKeyLine(file) };
  });
}

async function chosenFile(id, limit, sentence) {
  const [file] = byId(id).files;
  if (!file) throw new Refusal("no-file", sentence);
  return readFile(file, limit);
}

async function addFiles(files) {
  for (const file of files) {
    const one = { id: `other-${(made += 1)}`, octets: await readFile(file, OTHER_FILES_MAX) };
    others.push(one);
    byId("other-files").append(rowOf(one, file.name));
  }
  clear("other-file");
  announce(`${others.length} other files are in the list.`);
}

function rowOf(one, name) {
  const attributes = { value: name, maxlength: "64", spellcheck: "false", "aria-describedby": `${one.id}-problem` };
  const remove = removeButton(name, () => {
    others.splice(others.indexOf(one), 1);
    wipe(one.octets);
    row.remove();
    byId("other-file").focus();
  });
  const row = element(
    "li",
    { class: "row" },
    element("label", { class: "hidden-label", for: one.id }, `Name of ${name} in the virtual machine`),
    element("input", { id: one.id, ...attributes }),
    element("span", { class: "size" }, `${one.octets.length} bytes`),
    remove,
    element("p", { class: "problem", id: `${one.id}-problem`, hidden: true }),
  );
  return row;
}

async function othersByName() {
  const found = new Map();
  for (const { id, octets } of others) {
    const name = byId(id).value.trim();
    await about(id, () => checkFileName(name));
    if ([SSH_HOST_KEY, AUTHORIZED_KEYS].includes(name)) {
      throw problem(id, "file-name", `A file cannot be called ${name}: there is a field for it above.`);
    }
    if ([...found.keys()].some((other) => other.toLowerCase() === name.toLowerCase())) {
      throw problem(id, "file-name", `Two files are called ${name}.`);
    }
    found.set(name, octets);
  }
  return found;
}
