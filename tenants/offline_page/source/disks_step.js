// Step 3: what the file is for, and the template disks, from catalogs or by hand.
import { CATALOG_MAX, openCatalog } from "./catalog.js";
import { byId, chosen, clear, element, removeButton, tellChange } from "./dom.js";
import { fingerprintOctets } from "./octets.js";
import { FOR_TEMPLATES } from "./pdk.js";
import { about, announce, attempt, problem } from "./problems.js";
import { checkVersion, describe, qualifier } from "./qualifier.js";
import { readFile } from "./saving.js";

const trusted = [];

export function typeForUse() {
  return chosen("type");
}

/** The qualifiers. Throws a problem where there are none and the type wants some. */
export function qualifiersForUse() {
  if (typeForUse() !== FOR_TEMPLATES) return [];
  if (!trusted.length) {
    throw problem("disk-file", "qualifiers", "Add the catalog of at least one template disk, or name a disk by hand.");
  }
  return [...trusted];
}

/** The disks in words. */
export function trustedDisks() {
  return trusted.map(describe);
}

export function startDisksStep() {
  const step = byId("disks-step");
  byId("type").addEventListener("change", markStep);
  byId("disk-file").addEventListener("change", (event) => {
    void attempt(step, "disk-file", () => about("disk-file", () => addCatalogs([...event.target.files])));
  });
  byId("disk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(step, "disk-name", addByHand);
  });
}

async function addCatalogs(files) {
  for (const file of files) {
    const found = await openCatalog(await readFile(file, CATALOG_MAX));
    add(qualifier(found.diskName, found.signerFingerprint, found.version, byId("disk-rule").value));
  }
  clear("disk-file");
}

async function addByHand() {
  const signer = await about("disk-signer", () => fingerprintOctets(byId("disk-signer").value));
  const version = byId("disk-version").value.trim();
  await about("disk-version", () => checkVersion(version));
  const name = byId("disk-name").value.trim();
  add(await about("disk-name", () => qualifier(name, signer, version, byId("disk-rule").value)));
  clear("disk-name", "disk-signer", "disk-version");
}

function add(one) {
  trusted.push(one);
  const remove = removeButton(one.diskName, () => {
    trusted.splice(trusted.indexOf(one), 1);
    card.remove();
    markDone();
    byId("disk-file").focus();
    announce(`${one.diskName} was removed.`);
  });
  const head = element("div", { class: "card-head" }, element("p", {}, describe(one)), remove);
  const card = element("li", { class: "card" }, head);
  byId("disks").append(card);
  markDone();
  announce(`${one.diskName} was added.`);
}

function markDone() {
  markStep();
  tellChange();
}

function markStep() {
  byId("disks-step").classList.toggle("step-done", trusted.length > 0 || typeForUse() !== FOR_TEMPLATES);
}
