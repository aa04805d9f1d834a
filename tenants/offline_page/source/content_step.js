// Step 4, its first part: policy, the wish for a recovery key, the answer file.
import {
  ANSWER_FILE_MAX,
  LINUX_KEYS,
  checkAnswerFile,
  isLinuxAnswerFile,
  linuxAnswerFile,
  missingInPortal,
  substitutionStrings,
} from "./answerfile.js";
import { neededFiles } from "./content.js";
import { byId, chosen, clear } from "./dom.js";
import { checkFilesForUse, clearSecretFiles, filesForUse, hostKeyForUse, startFiles, wipeFiles } from "./files_step.js";
import { textOf, utf8, wipe } from "./octets.js";
import { FOR_TEMPLATES } from "./pdk.js";
import { about, announce, attempt, problem } from "./problems.js";
import { Refusal } from "./refusal.js";
import { readFile } from "./saving.js";
import { hashPassword } from "./sha512_crypt.js";

const PASSWORD_MAX = 1024;
const STAND_IN = `$6$x$${".".repeat(86)}`;

export function startContentStep() {
  const form = byId("content-form");
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("answer-file").addEventListener("change", (event) => {
    if (event.target.files.length) void attempt(form, "answer-file", sayWhatIsAsked);
  });
  startFiles(form);
}

export function policyForUse() {
  return chosen("policy");
}

export function recoveryKeyForUse() {
  return byId("recovery-key").checked ? "Escrow" : "None";
}

/** What a person should know of the values that an answer file asks for; the second sentence may be empty. */
export function aboutValues(names) {
  const missing = missingInPortal(names);
  const asked = names.length ? `The fabric fills in ${names.join(", ")}.` : "It asks the fabric for no value.";
  if (!missing.length) return { asked, warning: "" };
  const isOne = missing.length === 1;
  const lack = `this project's portal has no ${isOne ? "value for it" : "values for them"}`;
  const advice = isOne
    ? "Use a fabric that gives it, or put a fixed value into the answer file."
    : "Use a fabric that gives them, or put fixed values into the answer file.";
  return { asked, warning: `The answer file asks for ${missing.join(", ")}, and ${lack}. ${advice}` };
}

/** `{ answerFile, files, hostLine }`; the caller wipes it with `wipeContent`. `progress` is told the part done. */
export async function contentForUse(progress) {
  checkPasswords();
  const files = await filesForUse();
  const given = await answerFileForUse();
  await about("answer-file", () => checkReferences(given, files));
  const hostKey = await hostKeyForUse(isForLinux(given), files);
  await checkFilesForUse(files);
  const answerFile = isMadeHere() ? await withPassword(progress) : given;
  return { answerFile, files, hostLine: hostKey };
}

/** Overwrite what was made. */
export function wipeContent({ answerFile, files }) {
  wipe(answerFile);
  wipeFiles(files);
}

/** Empty the fields with secrets. */
export function clearSecretFields() {
  clear("root-password", "root-repeat", "answer-file");
  clearSecretFiles();
}

/** `{ words, names, isLinux }` of the answer file as it stands now, the last two undefined where they are not known. */
export async function answersForReview() {
  const [file] = byId("answer-file").files;
  if (!isForTemplates()) return { words: "None: these machines exist already", names: [], isLinux: false };
  if (!isMadeHere() && !file) return { words: "Not chosen yet" };
  try {
    return isMadeHere() ? seen("Made here", linuxAnswerFile(settings(STAND_IN))) : await seenIn(file);
  } catch (error) {
    if (error instanceof Refusal) return { words: error.message };
    throw error;
  }
}

async function seenIn(file) {
  return seen(file.name, textOfAnswers(await readFile(file, ANSWER_FILE_MAX)));
}

function seen(name, text) {
  const isLinux = isLinuxAnswerFile(text);
  return { words: `${name}, for ${isLinux ? "Linux" : "Windows"}`, names: substitutionStrings(text), isLinux };
}

function isForTemplates() {
  return chosen("type") === FOR_TEMPLATES;
}

function isMadeHere() {
  return isForTemplates() && chosen("answer-source") === "linux";
}

async function sayWhatIsAsked() {
  const names = substitutionStrings(textOf(await ownAnswerFile(), ""));
  const missing = missingInPortal(names).length;
  const values = `The answer file asks for ${names.length} ${names.length === 1 ? "value" : "values"}`;
  announce(missing ? `${values}, ${missing} of which this project's portal does not have.` : `${values}.`);
}

function checkPasswords() {
  if (!isMadeHere()) return;
  const password = byId("root-password").value;
  if (!password) throw problem("root-password", "no-password", "Give the password of root.");
  // The hash begins with as many copies of the password as it has bytes.
  if (password.length > PASSWORD_MAX) {
    throw problem("root-password", "password-long", `A password has at most ${PASSWORD_MAX} characters.`);
  }
  if (byId("root-repeat").value !== password) {
    throw problem("root-repeat", "password-differs", "The two passwords are not the same.");
  }
  checkSettings();
}

function checkSettings() {
  const { timeZone, locale } = settings("");
  if (!LINUX_KEYS.GF_TIME_ZONE(timeZone)) {
    throw problem("time-zone", "bad-value", "This is not a time zone's name, such as Europe/Berlin.");
  }
  if (locale && !LINUX_KEYS.GF_LOCALE(locale)) {
    throw problem("locale", "bad-value", "This is not a locale with UTF-8, such as de_DE.UTF-8.");
  }
}

function settings(passwordHash) {
  return {
    passwordHash,
    addresses: [...byId("addresses").value].map(Number),
    timeZone: byId("time-zone").value.trim() || "@TimeZone@",
    locale: byId("locale").value.trim(),
  };
}

/** The octets of the answer file, of one made here with another hash than in the end. */
async function answerFileForUse() {
  if (!isForTemplates()) return new Uint8Array();
  return isMadeHere() ? utf8(linuxAnswerFile(settings(STAND_IN))) : ownAnswerFile();
}

async function withPassword(progress) {
  return utf8(linuxAnswerFile(settings(await hashPassword(byId("root-password").value, progress))));
}

async function ownAnswerFile() {
  return about("answer-file", async () => {
    const [file] = byId("answer-file").files;
    if (!file) throw new Refusal("no-file", "Choose the answer file.");
    const octets = await readFile(file, ANSWER_FILE_MAX);
    textOfAnswers(octets);
    return octets;
  });
}

function textOfAnswers(octets) {
  const text = textOf(octets, "The answer file is not UTF-8 text.");
  checkAnswerFile(text);
  return text;
}

function isForLinux(answerFile) {
  return answerFile.length > 0 && isLinuxAnswerFile(textOf(answerFile, ""));
}

/** Refuse a Windows answer file that refers to a file which will not be there. */
function checkReferences(answerFile, files) {
  if (isForLinux(answerFile)) return;
  for (const name of neededFiles(textOf(answerFile, ""))) {
    if (!files.has(name)) {
      throw new Refusal("answer-file", `The answer file uses ${name}, which was not given.`, "Give it below.");
    }
  }
}
