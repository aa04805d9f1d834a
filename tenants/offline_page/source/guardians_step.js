// Step 2: the guardians, each from its metadata, each compared by a person.
import { byId, clear, element, removeButton, tellChange } from "./dom.js";
import { METADATA_MAX, datesOutside, openMetadata } from "./metadata.js";
import { bareFingerprint, grouped } from "./octets.js";
import { about, announce, attempt, problem } from "./problems.js";
import { GUARDIANS_MAX } from "./protector.js";
import { facts, fingerprintFact, readFile } from "./saving.js";

const known = [];
let made = 0;

/** The guardians, if a person has compared every one. Throws a problem otherwise. */
export function guardiansForUse() {
  if (!known.length) throw problem("guardian-file", "no-guardian", "Add the metadata of at least one guardian.");
  known.forEach(checkCompared);
  return known.map((one) => one.guardian);
}

export function guardianNames() {
  return known.map((one) => one.guardian.name);
}

export function startGuardiansStep() {
  const step = byId("guardians-step");
  byId("guardian-file").addEventListener("change", (event) => {
    void attempt(step, "guardian-file", () => about("guardian-file", () => add([...event.target.files])));
  });
}

async function add(files) {
  for (const file of files) {
    const found = await openMetadata(await readFile(file, METADATA_MAX), nameFrom(file.name));
    if (known.some((one) => one.guardian.fingerprint === found.guardian.fingerprint)) {
      throw problem("guardian-file", "guardian-twice", `The guardian in ${file.name} is in the list already.`);
    }
    if (known.length === GUARDIANS_MAX) {
      throw problem("guardian-file", "too-many-guardians", `Shielding data has at most ${GUARDIANS_MAX} guardians.`);
    }
    const one = { ...found, id: `guardian-${(made += 1)}`, outside: datesOutside(found.guardian, new Date()) };
    known.push(one);
    byId("guardians").append(cardOf(one));
    markDone();
    announce(`${one.guardian.name} was added. Compare its fingerprint.`);
  }
  clear("guardian-file");
}

function markDone() {
  byId("guardians-step").classList.toggle("step-done", known.length > 0);
  tellChange();
}

/** A name that every guardian may have, for the list only: metadata carries none. */
function nameFrom(fileName) {
  const name = fileName.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9 ._-]/g, "-").slice(0, 40).trim();
  return /^[A-Za-z0-9]/.test(name) ? name : "guardian";
}

function cardOf(one) {
  const { id, guardian, fingerprint, outside } = one;
  const remove = removeButton(guardian.name, () => {
    known.splice(known.indexOf(one), 1);
    card.remove();
    markDone();
    byId("guardian-file").focus();
    announce(`${guardian.name} was removed.`);
  });
  const card = element(
    "li",
    { class: "card" },
    element("div", { class: "card-head" }, element("h3", {}, guardian.name), remove),
    facts(
      fingerprintFact("Metadata signed by", fingerprint),
      fingerprintFact("Signing certificate", guardian.fingerprint),
      fingerprintFact("Encryption certificate", guardian.encryptionFingerprint),
      ["Valid until", guardian.signing.notAfter.toISOString().slice(0, 10)],
    ),
    given(id),
    checkbox(`${id}-same`, "Or: I compared “Metadata signed by” by eye, to the end, and it is the same"),
  );
  if (outside.length) {
    card.append(
      element("p", { class: "help" }, `${outside.join(" ")} A Host Guardian Service itself ignores these dates.`),
      checkbox(`${id}-expired`, "Accept it all the same"),
    );
  }
  return card;
}

function given(id) {
  const field = `${id}-given`;
  return element(
    "div",
    { class: "field" },
    element("label", { for: field }, "Fingerprint that the HGS administrator gave you"),
    element("input", { id: field, spellcheck: "false", autocomplete: "off", "aria-describedby": `${field}-problem` }),
    element("p", { class: "problem", id: `${field}-problem`, hidden: true }),
  );
}

function checkbox(id, label) {
  const box = element("input", { type: "checkbox", id, "aria-describedby": `${id}-problem` });
  return element(
    "div",
    {},
    element("label", { class: "check" }, box, label),
    element("p", { class: "problem", id: `${id}-problem`, hidden: true }),
  );
}

function checkCompared({ id, fingerprint, guardian, outside }) {
  const text = byId(`${id}-given`).value;
  if (text.trim() && bareFingerprint(text) !== fingerprint) {
    throw problem(
      `${id}-given`,
      "fingerprint-differs",
      `The metadata is not signed by the certificate with this fingerprint, but by ${grouped(fingerprint)}.`,
      "Do not use it. Fetch it again, and ask the administrator of the Host Guardian Service.",
    );
  }
  if (!text.trim() && !byId(`${id}-same`).checked) {
    throw problem(`${id}-given`, "not-compared", `Compare the fingerprint of ${guardian.name} before you trust it.`);
  }
  if (outside.length && !byId(`${id}-expired`).checked) {
    throw problem(`${id}-expired`, "expired", "Ask the guardian's administrator for new metadata, or accept it.");
  }
}
