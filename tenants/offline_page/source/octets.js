import { Refusal } from "./refusal.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A text's UTF-8 octets. */
export function utf8(text) {
  return encoder.encode(text);
}

/** UTF-8 octets as text. Throws a Refusal with `sentence` for anything else. */
export function textOf(octets, sentence) {
  try {
    return decoder.decode(octets);
  } catch {
    throw new Refusal("not-utf8", sentence);
  }
}

/** Octet strings one behind the other. */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether two octet strings are the same. The time taken depends on their lengths alone. */
export function same(left, right) {
  let difference = left.length ^ right.length;
  for (let at = 0; at < left.length; at += 1) difference |= left[at] ^ (right[at] ?? 0);
  return difference === 0;
}

/** Fresh random octets. */
export function random(count) {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** Overwrite secrets that are not needed any more. */
export function wipe(...secrets) {
  for (const secret of secrets) secret.fill(0);
}

export async function sha256(octets) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", octets));
}

/** Lower-case hexadecimal digits. */
export function hex(octets) {
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

/** A fingerprint for reading aloud: upper case, groups of four. */
export function grouped(digits) {
  return digits.toUpperCase().match(/.{1,4}/g).join(" ");
}

/** A fingerprint as people write them: case, spaces, colons and hyphens do not matter. */
export function bareFingerprint(text) {
  return text.replace(/[\s:-]/g, "").toLowerCase();
}

/** 64 hexadecimal digits as octets. Throws a Refusal. */
export function fingerprintOctets(text) {
  const digits = bareFingerprint(text);
  if (!/^[0-9a-f]{64}$/.test(digits)) {
    throw new Refusal("fingerprint", "A fingerprint has 64 hexadecimal digits (SHA-256).");
  }
  return Uint8Array.from(digits.match(/../g), (pair) => Number.parseInt(pair, 16));
}

export function base64(octets) {
  const pieces = [];
  // String.fromCharCode takes its octets as arguments, of which there may not be too many at once.
  for (let at = 0; at < octets.length; at += 8192) pieces.push(String.fromCharCode(...octets.subarray(at, at + 8192)));
  return btoa(pieces.join(""));
}

/** The octets of base64 in its one canonical form, undefined for anything else. */
export function fromBase64(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    return undefined;
  }
  return btoa(binary) === text ? Uint8Array.from(binary, (character) => character.charCodeAt(0)) : undefined;
}
