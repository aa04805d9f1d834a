// Step 4, its second part: SSH keys, what is for Windows, other files.
import {
  AUTHORIZED_KEYS,
  CONFIGURATION_SCRIPT,
  CONFIGURATION_SCRIPT_MAX,
  OTHER_FILES_MAX,
  RDP_CERTIFICATE,
  RDP_PASSWORD,
  ROLES,
  SSH_HOST_KEY,
  checkFileName,
  checkFiles,
} from "./content.js";
import { byId, chosen, clear, element, removeButton, tellChange } from "./dom.js";
import { utf8, wipe } from "./octets.js";
import { about, announce, attempt, problem } from "./problems.js";
import { PFX_MAX, checkRdpCertificate } from "./rdp.js";
import { Refusal } from "./refusal.js";
import { readFile } from "./saving.js";
import { HOST_KEY_MAX, checkAuthorizedKeys, hostKeyLine, newHostKey } from "./ssh.js";

const SECRET = [SSH_HOST_KEY, RDP_CERTIFICATE, RDP_PASSWORD];
const others = [];
let made = 0;

export function startFiles(form) {
  byId("other-file").addEventListener("change", (event) => {
    void attempt(form, "other-file", () => about("other-file", () => addFiles([...event.target.files])));
  });
}

/** All files but the host key: a Map from name to octets. */
export async function filesForUse() {
  const authorized = byId("authorized-keys").value;
  const keys = authorized.trim() ? await about("authorized-keys", () => checkAuthorizedKeys(authorized)) : "";
  const found = await othersByName();
  if (keys) found.set(AUTHORIZED_KEYS, utf8(keys));
  await addScript(found);
  await addRdpCertificate(found);
  return found;
}

/** The line of the host key that was put among the files; empty where there is none. */
export async function hostKeyForUse(isForLinux, files) {
  const hostKey = chosen("host-key-source") === "new" ? await newKey(isForLinux) : await ownKey();
  if (!hostKey) return "";
  files.set(SSH_HOST_KEY, hostKey.file);
  return hostKey.line;
}

export async function checkFilesForUse(files) {
  await about("other-file", () => checkFiles(files));
}

export function wipeFiles(files) {
  wipe(...SECRET.filter((name) => files.has(name)).map((name) => files.get(name)));
}

export function clearSecretFiles() {
  clear("host-key-file", "rdp-file", "rdp-password");
}

/** `{ hostKey, names }` in words, as things stand now. */
export function filesForReview(isForLinux) {
  const [own] = byId("host-key-file").files;
  const names = others.map(({ id }) => byId(id).value.trim() || "a file without a name");
  if (byId("authorized-keys").value.trim()) names.push(AUTHORIZED_KEYS);
  if (byId("script-file").files.length) names.push(CONFIGURATION_SCRIPT);
  if (byId("rdp-file").files.length) names.push(RDP_CERTIFICATE);
  const hostKey = chosen("host-key-source") === "new" ? newKeyInWords(isForLinux) : (own?.name ?? "Not chosen yet");
  return { hostKey, names: names.sort() };
}

function newKeyInWords(isForLinux) {
  if (isForLinux === undefined) return "Not known yet";
  return isForLinux ? "Made with the file" : "None: the machine has its own";
}

// A Windows guest and a VM that exists already have their own ways.
async function newKey(isForLinux) {
  return isForLinux ? about("make-button", newHostKey) : undefined;
}

async function ownKey() {
  return about("host-key-file", async () => {
    const [file] = byId("host-key-file").files;
    if (!file) throw new Refusal("no-file", "Choose the private key.");
    const octets = await readFile(file, HOST_KEY_MAX);
    return { file: octets, line: await hostKeyLine(octets) };
  });
}

async function addScript(found) {
  const [file] = byId("script-file").files;
  if (!file) return;
  found.set(CONFIGURATION_SCRIPT, await about("script-file", () => readFile(file, CONFIGURATION_SCRIPT_MAX)));
}

async function addRdpCertificate(found) {
  const [file] = byId("rdp-file").files;
  const password = byId("rdp-password").value;
  if (!file && password) throw problem("rdp-file", "rdp-certificate", "Choose the PFX file that this password opens.");
  if (!file) return;
  if (!password) throw problem("rdp-password", "rdp-certificate", "Give the password of the PFX file.");
  const pfx = await about("rdp-file", () => readFile(file, PFX_MAX));
  await about("rdp-password", () => checkRdpCertificate(pfx, password));
  found.set(RDP_CERTIFICATE, pfx);
  found.set(RDP_PASSWORD, utf8(password));
}

async function addFiles(files) {
  for (const file of files) {
    const one = { id: `other-${(made += 1)}`, octets: await readFile(file, OTHER_FILES_MAX) };
    others.push(one);
    byId("other-files").append(rowOf(one, file.name));
  }
  clear("other-file");
  tellChange();
  announce(`${others.length} other ${others.length === 1 ? "file is" : "files are"} in the list.`);
}

function rowOf(one, name) {
  const attributes = { value: name, maxlength: "64", spellcheck: "false", "aria-describedby": `${one.id}-problem` };
  const remove = removeButton(name, () => {
    others.splice(others.indexOf(one), 1);
    wipe(one.octets);
    row.remove();
    byId("other-file").focus();
    tellChange();
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
    if (ROLES.includes(name)) {
      throw problem(id, "file-name", `A file cannot be called ${name}: there is a field for it above.`);
    }
    if ([...found.keys()].some((other) => other.toLowerCase() === name.toLowerCase())) {
      throw problem(id, "file-name", `Two files are called ${name}.`);
    }
    found.set(name, octets);
  }
  return found;
}
