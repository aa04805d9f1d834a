// What will be made, as things stand now: renewed with every change, so that it is true when the button is pressed.
import { aboutValues, answersForReview, policyForUse, recoveryKeyForUse } from "./content_step.js";
import { trustedDisks, typeForUse } from "./disks_step.js";
import { byId, element, withNames } from "./dom.js";
import { filesForReview } from "./files_step.js";
import { guardianNames } from "./guardians_step.js";
import { ownerName } from "./owner_step.js";
import { FOR_TEMPLATES, PDK_TYPES, POLICIES, RECOVERY_KEYS } from "./pdk.js";
import { facts } from "./saving.js";

const state = { turn: 0 };

export function startReview() {
  document.addEventListener("change", () => void renew());
  void renew();
}

async function renew() {
  const turn = (state.turn += 1);
  const answers = await answersForReview();
  if (turn !== state.turn) return;
  const { asked, warning } = answers.names ? aboutValues(answers.names) : { asked: "Not known yet", warning: "" };
  byId("review").replaceChildren(facts(...lines(answers, asked)));
  const place = byId("values-warning");
  place.replaceChildren(...withNames(warning));
  place.hidden = !warning;
}

function lines(answers, asked) {
  const { hostKey, names } = filesForReview(answers.isLinux);
  const isForTemplates = typeForUse() === FOR_TEMPLATES;
  return [
    ["Type", PDK_TYPES[typeForUse()]],
    ["Policy", POLICIES[policyForUse()]],
    ["Owner", ownerName() || "Not made or opened yet"],
    ["Guardians", guardianNames().join(", ") || "None yet"],
    ...(isForTemplates ? [["Trusted disks", listed(trustedDisks())]] : []),
    ["Answer file", answers.words],
    ...(isForTemplates ? [["Asks for values", element("span", {}, ...withNames(asked))]] : []),
    ["SSH host key", hostKey],
    ["Files", names.join(", ") || "None"],
    ["Recovery key", RECOVERY_KEYS[recoveryKeyForUse()]],
  ];
}

function listed(texts) {
  if (!texts.length) return "None yet";
  return element("ul", {}, ...texts.map((text) => element("li", {}, text)));
}
