// The `$6$` password hash of crypt(3): Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6.
import { concat, random, utf8, wipe } from "./octets.js";

const ROUNDS = 100_000; // as `gf pdk new`: twenty times the scheme's default
const DEFAULT_ROUNDS = 5000;
const ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SIZE = 64;

/** Hash a password (text) with a fresh 96-bit salt. `progress` is told the part done, 0 to 1. */
export async function hashPassword(password, progress) {
  const salt = Array.from(random(16), (octet) => ALPHABET[octet & 0x3f]).join("");
  return sha512Crypt(password, salt, ROUNDS, progress);
}

/** `$6$[rounds=N$]salt$hash`; the rounds are left out at the scheme's default. */
export async function sha512Crypt(password, salt, rounds, progress = () => {}) {
  const key = utf8(password);
  const saltOctets = utf8(salt);
  let digest = await firstDigest(key, saltOctets);
  const keys = extended(await sha512(...Array(key.length).fill(key)), key.length);
  const salts = extended(await sha512(...Array(16 + digest[0]).fill(saltOctets)), saltOctets.length);
  for (let round = 0; round < rounds; round += 1) {
    const isOdd = round & 1;
    const parts = [isOdd ? keys : digest];
    if (round % 3) parts.push(salts);
    if (round % 7) parts.push(keys);
    parts.push(isOdd ? digest : keys);
    digest = await sha512(...parts);
    if (round % 1000 === 0) progress(round / rounds);
  }
  wipe(key, keys);
  const prefix = rounds === DEFAULT_ROUNDS ? "$6$" : `$6$rounds=${rounds}$`;
  return `${prefix}${salt}$${encoded(digest)}`;
}

async function sha512(...parts) {
  const input = concat(...parts);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", input));
  wipe(input);
  return digest;
}

async function firstDigest(key, salt) {
  const alternate = await sha512(key, salt, key);
  const parts = [key, salt, extended(alternate, key.length)];
  for (let rest = key.length; rest; rest >>= 1) parts.push(rest & 1 ? alternate : key);
  return sha512(...parts);
}

function extended(digest, length) {
  return Uint8Array.from({ length }, (_, at) => digest[at % SIZE]);
}

/** The specification's byte order: triples (0,21,42), (22,43,1), (44,2,23), … then the last byte alone. */
function encoded(digest) {
  let text = "";
  let [first, second, third] = [0, 21, 42];
  for (let group = 0; group < 21; group += 1) {
    text += encodedNumber((digest[first] << 16) | (digest[second] << 8) | digest[third], 4);
    [first, second, third] = [second + 1, third + 1, first + 1];
  }
  return text + encodedNumber(digest[63], 2);
}

function encodedNumber(number, characters) {
  return Array.from({ length: characters }, (_, index) => ALPHABET[(number >> (6 * index)) & 0x3f]).join("");
}
