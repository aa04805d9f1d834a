// Step 5: the shielding data file.
import { substitutionStrings } from "./answerfile.js";
import {
  aboutValues,
  clearSecretFields,
  contentForUse,
  policyForUse,
  recoveryKeyForUse,
  wipeContent,
} from "./content_step.js";
import { qualifiersForUse, typeForUse } from "./disks_step.js";
import { byId, element, tellChange, withNames } from "./dom.js";
import { guardiansForUse } from "./guardians_step.js";
import { hex, sha256, textOf, utf8 } from "./octets.js";
import { ownerForUse } from "./owner_step.js";
import { FOR_TEMPLATES, RECOVERY_KEYS, writePdk } from "./pdk.js";
import { announce, attempt, problem } from "./problems.js";
import { copied, facts, fingerprintFact, saveLink } from "./saving.js";
import { sshFingerprint } from "./ssh.js";

const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const state = { isSaved: true };

export function isPdkUnsaved() {
  return !state.isSaved;
}

export function startMakeStep() {
  byId("make-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(byId("main"), "make-button", make, byId("make-button"));
  });
}

async function make() {
  const name = pdkName();
  const chosen = {
    owner: ownerForUse(),
    guardians: guardiansForUse(),
    type: typeForUse(),
    qualifiers: qualifiersForUse(),
    policy: policyForUse(),
    recoveryKey: recoveryKeyForUse(),
  };
  byId("make-result").hidden = true;
  announce("Making the file.");
  const content = await withProgress((told) => contentForUse(told));
  try {
    const pdk = await writePdk({ ...chosen, ...content });
    const names = substitutionStrings(textOf(content.answerFile, ""));
    clearSecretFields();
    tellChange();
    await show(name, pdk, { ...chosen, names, hostLine: content.hostLine });
  } finally {
    wipeContent(content);
  }
}

function pdkName() {
  const name = byId("pdk-name").value.trim();
  if (!FILE_NAME.test(name)) {
    throw problem("pdk-name", "file-name", "Use letters, digits, dots, hyphens and underscores, such as web.pdk.");
  }
  return name.includes(".") ? name : `${name}.pdk`;
}

async function withProgress(work) {
  const bar = byId("progress");
  bar.value = 0;
  bar.hidden = false;
  try {
    return await work((part) => {
      bar.value = part;
    });
  } finally {
    bar.hidden = true;
  }
}

async function show(name, pdk, { type, recoveryKey, names, hostLine }) {
  // What to call the VM's host key in known_hosts, where its address is not known yet.
  const alias = name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9.-]/g, "-");
  const line = `${alias} ${hostLine}`;
  const { asked, warning } = aboutValues(names);
  const lines = [fingerprintFact("SHA-256 of the file", hex(await sha256(pdk)))];
  if (type === FOR_TEMPLATES) lines.push(["Asks for values", element("span", {}, ...withNames(asked))]);
  lines.push(["Recovery key", RECOVERY_KEYS[recoveryKey]]);
  if (hostLine) {
    lines.push(["SSH host key", copied(await sshFingerprint(hostLine))], ["Line for known_hosts", copied(line)]);
  }
  const links = element("p", { class: "actions" }, pdkLink(name, pdk), ...(hostLine ? [lineLink(alias, line)] : []));
  const said = [element("h3", {}, `${name} is ready`), facts(...lines), hostLine ? advice(alias) : plainAdvice()];
  if (recoveryKey === "Escrow") said.push(recoveryAdvice());
  if (warning) said.push(element("p", {}, element("strong", {}, ...withNames(warning))));
  const result = byId("make-result");
  result.replaceChildren(element("div", { class: "note note-done" }, ...said, links));
  result.hidden = false;
  byId("make-step").classList.add("step-done");
  announce(`${name} is ready. Passwords were removed from the fields.`);
  result.focus();
}

function advice(alias) {
  return element(
    "p",
    {},
    "Save both and upload the file to the portal. Keep the line: by it you recognise your virtual machine. ",
    "Connect with ",
    element("code", {}, `ssh -o HostKeyAlias=${alias} …`),
  );
}

function plainAdvice() {
  return element("p", {}, "Save it and upload it to the portal.");
}

function recoveryAdvice() {
  return element(
    "p",
    {},
    "Keep this very file with your owner guardian: with no other does ",
    element("code", {}, "gf recovery unprotect"),
    " open the recovery keys of the machines made from it.",
  );
}

function pdkLink(name, pdk) {
  state.isSaved = false;
  return saveLink(`Save ${name}`, name, pdk, () => {
    state.isSaved = true;
  });
}

function lineLink(alias, line) {
  return saveLink("Save the known_hosts line", `${alias}.known_hosts`, utf8(`${line}\n`));
}
