// Step 1: the owner guardian, made here or opened from its file.
import { byId, chosen, clear, element, tellChange } from "./dom.js";
import { checkName } from "./guardian.js";
import { OWNER_FILE_MAX, checkPassphrase, newOwner, openOwner } from "./owner_guardian.js";
import { about, announce, attempt, problem } from "./problems.js";
import { Refusal } from "./refusal.js";
import { facts, fingerprintFact, readFile, saveLink } from "./saving.js";

const state = { owner: undefined, isSaved: true };

/** The owner with its keys. Throws a problem while there is none, or while a new one is not saved. */
export function ownerForUse() {
  if (!state.owner) {
    const field = chosen("owner-source") === "new" ? "owner-name" : "owner-file";
    throw problem(field, "no-owner", "Make or open an owner guardian first.");
  }
  if (!state.isSaved) {
    throw problem("owner-save", "owner-not-saved", "Save the owner guardian first: what it owns is lost without it.");
  }
  return state.owner;
}

/** The owner's name, empty while there is none. */
export function ownerName() {
  return state.owner?.guardian.name ?? "";
}

export function isOwnerUnsaved() {
  return !state.isSaved;
}

export function startOwnerStep() {
  const form = byId("owner-form");
  form.addEventListener("change", () => {
    byId("owner-button").textContent = isNew() ? "Make the owner guardian" : "Open the owner guardian";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(form, "owner-passphrase", isNew() ? makeOwner : openFile, byId("owner-button"));
  });
}

function isNew() {
  return chosen("owner-source") === "new";
}

async function makeOwner() {
  const name = byId("owner-name").value.trim();
  const passphrase = byId("owner-passphrase").value;
  await about("owner-name", () => checkName(name));
  await about("owner-passphrase", () => checkPassphrase(passphrase));
  if (byId("owner-repeat").value !== passphrase) {
    throw problem("owner-repeat", "passphrase-differs", "The two passphrases are not the same.");
  }
  announce("Making two key pairs. This takes some seconds.");
  const { owner, file } = await newOwner(name, passphrase, new Date());
  state.owner = owner;
  state.isSaved = false;
  show(file);
}

async function openFile() {
  const [chosenFile] = byId("owner-file").files;
  if (!chosenFile) throw problem("owner-file", "no-file", "Choose the owner guardian file.");
  const octets = await about("owner-file", () => readFile(chosenFile, OWNER_FILE_MAX));
  announce("Opening the owner guardian.");
  const passphrase = byId("owner-passphrase").value;
  try {
    state.owner = await openOwner(octets, passphrase);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const field = error.code === "wrong-passphrase" ? "owner-passphrase" : "owner-file";
    throw problem(field, error.code, error.message, error.advice);
  }
  state.isSaved = true;
  show();
}

function show(file) {
  const { guardian } = state.owner;
  const parts = [
    element("h3", {}, guardian.name),
    facts(
      fingerprintFact("Signing certificate", guardian.fingerprint),
      fingerprintFact("Encryption certificate", guardian.encryptionFingerprint),
      ["Valid until", guardian.signing.notAfter.toISOString().slice(0, 10)],
    ),
  ];
  if (file) parts.push(warning(), ...saving(guardian, file));
  const again = element("button", { type: "button", class: "button button-small" }, "Use another owner guardian");
  again.addEventListener("click", startAgain);
  parts.push(element("p", { class: "actions" }, again));
  const result = byId("owner-result");
  result.replaceChildren(element("div", { class: "note note-done" }, ...parts));
  setOwned(true);
  clear("owner-passphrase", "owner-repeat", "owner-file");
  announce(file ? "The owner guardian is made. Save it." : "The owner guardian is open.");
  result.focus();
}

function warning() {
  return element(
    "p",
    {},
    element("strong", {}, "Save this file now and keep two copies, and the passphrase, in safe places. "),
    "If you lose the file or the passphrase, nobody can give you access again: not the fabric, not HGS, not this page.",
  );
}

function saving(guardian, file) {
  const name = `${guardian.name.replace(/[^A-Za-z0-9._-]/g, "-")}.guardian`;
  const link = saveLink("Save the owner guardian", name, file, () => {
    state.isSaved = true;
    byId("owner-save-problem").hidden = true;
    announce("Check that the owner guardian is where you keep such files.");
  });
  link.id = "owner-save";
  link.setAttribute("aria-describedby", "owner-save-problem");
  const problemPlace = element("p", { class: "problem", id: "owner-save-problem", hidden: true });
  return [element("p", { class: "actions" }, link), problemPlace];
}

function startAgain() {
  if (!state.isSaved && !confirm("The new owner guardian is not saved. Throw it away?")) return;
  state.owner = undefined;
  state.isSaved = true;
  byId("owner-result").replaceChildren();
  setOwned(false);
  byId("owner-name").focus();
}

function setOwned(isOwned) {
  byId("owner-form").hidden = isOwned;
  byId("owner-result").hidden = !isOwned;
  byId("owner-step").classList.toggle("step-done", isOwned);
  tellChange();
}
