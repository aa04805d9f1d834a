// The page of an owner: nothing here asks a network for anything.
import { startContentStep } from "./content_step.js";
import { startDisksStep } from "./disks_step.js";
import { byId, clear, showDependents } from "./dom.js";
import { startGuardiansStep } from "./guardians_step.js";
import { isPdkUnsaved, startMakeStep } from "./make_step.js";
import { isOwnerUnsaved, startOwnerStep } from "./owner_step.js";
import { startReview } from "./review.js";

const SECRETS = ["owner-passphrase", "owner-repeat", "root-password", "root-repeat", "rdp-password"];

function sayWhereFrom() {
  const isFromDisk = location.protocol === "file:";
  byId("opened-from-disk").hidden = !isFromDisk;
  byId("opened-from-server").hidden = isFromDisk;
}

function refuseToWork() {
  const place = byId("cannot-work");
  place.textContent =
    "This browser gives the page no cryptography, because the page was not opened over HTTPS or from disk, " +
    "or because the browser is too old. Download the page and open your copy.";
  place.hidden = false;
  for (const button of document.querySelectorAll("button")) button.disabled = true;
}

function start() {
  sayWhereFrom();
  if (!globalThis.crypto?.subtle) {
    refuseToWork();
    return;
  }
  showDependents();
  document.addEventListener("change", showDependents);
  startOwnerStep();
  startGuardiansStep();
  startDisksStep();
  startContentStep();
  startMakeStep();
  startReview();
  // A page kept for Back, or fields restored by the browser, must not hold what was typed.
  addEventListener("pagehide", () => clear(...SECRETS));
  addEventListener("beforeunload", (event) => {
    if (isOwnerUnsaved() || isPdkUnsaved()) event.preventDefault();
  });
}

start();
