// Answer files: what a new VM is told on its first boot. The fabric fills in the placeholders; the host checks how.
import { utf8 } from "./octets.js";
import { Refusal } from "./refusal.js";
import { checkWellFormed } from "./xmlform.js";

export const ANSWER_FILE_MAX = 64 * 1024;
const NOT_LINUX = /^[\ufeff \r\n\t]*</;
const PLACEHOLDER = /@[A-Za-z][A-Za-z0-9]*(?:-[0-9]+)*@/g;
/** The substitution strings. The first digit is the network adapter. */
export const PLACEHOLDERS = [
  "@ComputerName@",
  "@TimeZone@",
  "@ProductKey@",
  "@IP4Addr-1@",
  "@IP6Addr-1@",
  "@MACAddr-1@",
  "@Prefix-1-1@",
  "@NextHop-1-1@",
  "@Prefix-1-2@",
  "@NextHop-1-2@",
  "@DnsAddr-1-1@",
];
/** Those for which this project's portal has a value. */
export const PORTAL_VALUES = [
  "@ComputerName@",
  "@TimeZone@",
  "@IP4Addr-1@",
  "@Prefix-1-1@",
  "@NextHop-1-1@",
  "@DnsAddr-1-1@",
];

const LINE = /^([A-Z][A-Z0-9_]*)="([^"\\`\u0000-\u001f\u007f]*)"$/;
const COMPUTER_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const TIME_ZONE = /^[A-Za-z0-9(][A-Za-z0-9 ._+()-]*(?:\/[A-Za-z0-9(][A-Za-z0-9 ._+()-]*)*$/;
const PASSWORD_HASH = /^\$6\$(?:rounds=[1-9][0-9]{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$/;
const LOCALE = /^(?:C|[a-z]{2,3}(?:_[A-Z]{2})?)\.UTF-8(?:@[a-z]{1,16})?$/;
const VALUE_MAX = 256;

const isIp4 = (text) => /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/.test(text);
// The URL parser writes an IPv6 address in the one short form of RFC 5952.
const isIp6 = (text) => /^[0-9a-f:]+$/.test(text) && hostOf(text) === `[${text}]`;
const isAddress = (text) => isIp4(text) || isIp6(text);

function hostOf(address) {
  try {
    return new URL(`http://[${address}]/`).hostname;
  } catch {
    return undefined;
  }
}

function isIp4Interface(text) {
  const [address, length, ...rest] = text.split("/");
  return !rest.length && isIp4(address) && /^(?:[0-9]|[12][0-9]|3[0-2])$/.test(length ?? "");
}

function isIp6Interface(text) {
  const [address, length, ...rest] = text.split("/");
  return !rest.length && isIp6(address) && /^(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$/.test(length ?? "");
}

const or = (placeholder, validator) => (value) =>
  value === placeholder || (value.length > 0 && value.length <= VALUE_MAX && validator(value));

/** The keys a Linux answer file may have, each with its validator; a value may be the placeholder for itself. */
export const LINUX_KEYS = {
  GF_COMPUTER_NAME: or("@ComputerName@", (value) => COMPUTER_NAME.test(value)),
  GF_TIME_ZONE: or("@TimeZone@", (value) => TIME_ZONE.test(value)),
  GF_ROOT_PASSWORD_HASH: (value) => PASSWORD_HASH.test(value),
  GF_IP4_ADDRESS: or("@IP4Addr-1@", isIp4Interface),
  GF_IP4_GATEWAY: or("@NextHop-1-1@", isAddress),
  GF_DNS: or("@DnsAddr-1-1@", isAddress),
  GF_IP6_ADDRESS: or("@IP6Addr-1@", isIp6Interface),
  GF_IP6_GATEWAY: or("@NextHop-1-2@", isAddress),
  GF_LOCALE: (value) => LOCALE.test(value),
};

/**
 * A Linux answer file. The fabric chooses the name, and the time zone unless one is given; `addresses` holds the IP
 * versions (4, 6) whose addresses come from its pool, without any the guest asks DHCP. Throws a Refusal.
 */
export function linuxAnswerFile({ passwordHash, timeZone = "@TimeZone@", addresses = [4], locale = "" }) {
  const values = {
    GF_COMPUTER_NAME: "@ComputerName@",
    GF_TIME_ZONE: timeZone,
    GF_ROOT_PASSWORD_HASH: passwordHash,
    GF_IP4_ADDRESS: addresses.includes(4) ? "@IP4Addr-1@" : "",
    GF_IP4_GATEWAY: addresses.includes(4) ? "@NextHop-1-1@" : "",
    GF_IP6_ADDRESS: addresses.includes(6) ? "@IP6Addr-1@" : "",
    GF_IP6_GATEWAY: addresses.includes(6) ? "@NextHop-1-2@" : "",
    GF_DNS: addresses.length ? "@DnsAddr-1-1@" : "",
    GF_LOCALE: locale,
  };
  const given = Object.entries(values).filter(([, value]) => value);
  const text = given.map(([key, value]) => `${key}="${value}"\n`).join("");
  checkLinuxAnswerFile(text);
  return text;
}

/** Whether a checked answer file is of the Linux form. */
export function isLinuxAnswerFile(text) {
  return !NOT_LINUX.test(text);
}

/** The substitution strings in an answer file, sorted, each once. Throws a Refusal for unknown ones. */
export function substitutionStrings(text) {
  const found = [...new Set(text.match(PLACEHOLDER) ?? [])];
  for (const name of found) {
    if (!PLACEHOLDERS.includes(name)) {
      throw new Refusal(
        "unknown-placeholder",
        `The answer file uses ${name.slice(0, 64)}, which is not a substitution string.`,
        `Use only ${PLACEHOLDERS.join(", ")}.`,
      );
    }
  }
  return found.sort();
}

/** Those of the substitution strings `needed` for which this project's portal has no value. */
export function missingInPortal(needed) {
  return needed.filter((name) => !PORTAL_VALUES.includes(name));
}

/** Refuse what is no answer file: the Linux form, or well-formed XML (unattend.xml). Throws a Refusal. */
export function checkAnswerFile(text) {
  if (utf8(text).length > ANSWER_FILE_MAX) {
    throw new Refusal("answer-file-size", `The answer file has more than ${ANSWER_FILE_MAX / 1024} KiB.`);
  }
  substitutionStrings(text);
  if (isLinuxAnswerFile(text)) checkLinuxAnswerFile(text);
  else checkWellFormed(text);
}

function checkLinuxAnswerFile(text) {
  if (!text.endsWith("\n")) throw new Refusal("answer-file-line", "The answer file does not end with a line break.");
  const seen = new Set();
  for (const [at, line] of text.slice(0, -1).split("\n").entries()) {
    const [, key, value] = LINE.exec(line) ?? [];
    const where = `Line ${at + 1} of the answer file`;
    if (!key) throw new Refusal("answer-file-line", `${where} is not KEY="value".`);
    if (!Object.hasOwn(LINUX_KEYS, key)) {
      const advice = `Use only ${Object.keys(LINUX_KEYS).join(", ")}.`;
      throw new Refusal("answer-file-key", `${where} has the key ${key.slice(0, 40)}, which is not known.`, advice);
    }
    if (seen.has(key)) throw new Refusal("answer-file-key", `${where} gives ${key} a second time.`);
    if (!LINUX_KEYS[key](value)) throw new Refusal("answer-file-value", `${where}: the value of ${key} is wrong.`);
    seen.add(key);
  }
}
