// The RDP certificate in shielding data: a PKCS #12 file and its password, which a Windows guest imports.
import { TAG, context, malformed, numberOf, oid, readWhole } from "./der.js";
import { same } from "./octets.js";
import { CERTIFICATE_BAG, DATA, ENCRYPTED_DATA, SHROUDED_KEY_BAG, openPbes2, readDataInfo, readPbes2 } from "./pfx.js";
import { MAC_DIGESTS, isRightMac, readMac } from "./pfx_mac.js";
import { Refusal } from "./refusal.js";

export const PFX_MAX = 64 * 1024;
const KEY_BAG = oid("1.2.840.113549.1.12.10.1.1");
const KEYS = [oid("1.2.840.113549.1.1.1"), oid("1.2.840.10045.2.1")];

/**
 * Refuse a PKCS #12 file that the password does not open, or that holds no RSA or elliptic-curve key together with its
 * certificate. What is encrypted in a way of which browsers know nothing (such as triple DES, by which Windows exports
 * unless told otherwise) is taken to be what its place says: the password was right.
 */
export async function checkRdpCertificate(pfx, password) {
  const found = await bagsIn(pfx, password).catch((error) => {
    throw error instanceof Refusal ? notOpened() : error;
  });
  const isFit = found.keys.every((name) => name === undefined || KEYS.some((one) => same(one, name)));
  if (!isFit || !(found.keys.length || found.unread) || !(found.certificates || found.unread)) {
    throw new Refusal(
      "rdp-certificate",
      "The PFX file does not hold an RSA or elliptic-curve key together with its certificate.",
      "Export certificate and private key together into one PFX file.",
    );
  }
}

function notOpened() {
  return new Refusal(
    "rdp-certificate",
    "The RDP certificate's password does not open its PFX file, or it is no PFX file.",
    "Check the file and the password it was exported with.",
  );
}

/** `{ keys, certificates, unread }`: the algorithm of each key where it can be read, and how much there is else. */
async function bagsIn(pfx, password) {
  const outer = readWhole(pfx, TAG.sequence).inner();
  if (numberOf(outer.take(TAG.integer)) !== 3) throw malformed();
  const safe = readDataInfo(outer);
  const mac = readMac(outer.take(TAG.sequence).inner(), MAC_DIGESTS);
  outer.end();
  if (!password || !(await isRightMac(mac, safe, password))) throw notOpened();
  const found = { keys: [], certificates: 0, unread: 0 };
  const infos = readWhole(safe, TAG.sequence).inner();
  while (!infos.isAtEnd) {
    const bags = await contentsOf(infos.take(TAG.sequence).inner(), password);
    if (bags) await count(readWhole(bags, TAG.sequence).inner(), password, found);
    else found.unread += 1;
  }
  return found;
}

async function contentsOf(info, password) {
  const type = info.take(TAG.oid).octets;
  const inner = info.take(context(0)).contents;
  info.end();
  if (same(type, DATA)) return readWhole(inner, TAG.octetString).contents;
  if (!same(type, ENCRYPTED_DATA)) throw malformed();
  const data = readWhole(inner, TAG.sequence).inner();
  data.take(TAG.integer);
  const encrypted = data.take(TAG.sequence).inner();
  encrypted.take(TAG.oid);
  const algorithm = encrypted.take(TAG.sequence);
  return opened(algorithm, encrypted.take(0x80).contents, password);
}

/** What is encrypted, undefined where it is in a way that is not known here. */
async function opened(algorithm, value, password) {
  const parameters = knownParameters(algorithm);
  return parameters && openPbes2({ ...parameters, value }, password);
}

function knownParameters(algorithm) {
  try {
    return readPbes2(algorithm.inner());
  } catch {
    return undefined;
  }
}

async function count(bags, password, found) {
  while (!bags.isAtEnd) {
    const bag = bags.take(TAG.sequence).inner();
    const kind = bag.take(TAG.oid).octets;
    const inner = bag.take(context(0)).contents;
    if (same(kind, CERTIFICATE_BAG)) found.certificates += 1;
    if (same(kind, KEY_BAG)) found.keys.push(algorithmOf(inner));
    if (same(kind, SHROUDED_KEY_BAG)) found.keys.push(await algorithmOfShrouded(inner, password));
  }
}

async function algorithmOfShrouded(octets, password) {
  const shrouded = readWhole(octets, TAG.sequence).inner();
  const algorithm = shrouded.take(TAG.sequence);
  const pkcs8 = await opened(algorithm, shrouded.take(TAG.octetString).contents, password);
  if (!pkcs8) return undefined;
  const name = algorithmOf(pkcs8).slice();
  pkcs8.fill(0);
  return name;
}

/** The name of a PKCS #8 key's algorithm. */
function algorithmOf(pkcs8) {
  const key = readWhole(pkcs8, TAG.sequence).inner();
  key.take(TAG.integer);
  return key.take(TAG.sequence).inner().take(TAG.oid).octets;
}
