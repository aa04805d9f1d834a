// Volume signature catalogs: what a publisher signs of a template disk. Only an opened one says which disk it is.
import { RSA_PSS_SHA256, isSigned } from "./algorithms.js";
import { checkRsaKey, readCertificate } from "./certificate.js";
import { concat, same, sha256 } from "./octets.js";
import { checkVersion } from "./qualifier.js";
import { Refusal } from "./refusal.js";
import { Fields, canonicalOf, elementBytes, elementText, parseDocument } from "./xmlform.js";

const NAMESPACE = "urn:open-guarded-fabric:volume-signature-catalog:2";
const NAMESPACE_1 = "urn:open-guarded-fabric:volume-signature-catalog:1"; // of catalogs without BLAKE3
const BEGINNING_1 = new TextEncoder().encode(`<VolumeSignatureCatalog xmlns="${NAMESPACE_1}"`);
export const CATALOG_MAX = 12 * 1024 * 1024;
const LEAVES_MAX = 4 * 1024 * 1024;
const CERTIFICATE_MAX = 16 * 1024;
const BLOCK_LENGTH = 1024 * 1024;
const HASH_LENGTH = 32;
const SECTOR = 512;
const ROLES = ["partition-table", "efi-system", "operating-system", "backup-partition-table"];
const NAME = /^(?:(?!_)[\p{L}\p{N}])(?:[\p{L}\p{N}_ .()+-]{0,62}[\p{L}\p{N}_)])?$/u;
const LENGTH = /^(?:0|[1-9][0-9]{0,12})$/;

/** `{ diskName, version, signerFingerprint }` of a catalog whose signature is right. Throws a Refusal. */
export async function openCatalog(octets) {
  const withBlake3 = !same(octets.subarray(0, BEGINNING_1.length), BEGINNING_1);
  const namespace = withBlake3 ? NAMESPACE : NAMESPACE_1;
  const root = parseDocument(octets, { namespace, name: "VolumeSignatureCatalog", limit: CATALOG_MAX });
  const fields = new Fields(root);
  const content = fields.take("Content");
  const signature = new Fields(fields.take("Signature"), ["Algorithm"]);
  const value = elementBytes(signature.take("SignatureValue"), { most: 1024 });
  signature.end();
  fields.end();
  if (signature.attribute("Algorithm") !== RSA_PSS_SHA256) {
    throw new Refusal("catalog-algorithm", "The catalog is signed with an algorithm that is not known.");
  }
  const { diskName, version, certificate } = await readContent(content, withBlake3);
  if (!(await isSigned(certificate.spki, { algorithm: RSA_PSS_SHA256, value }, canonicalOf(content)))) {
    throw new Refusal(
      "catalog-signature",
      "The catalog was changed after it was signed, or its certificate did not sign it.",
      "Download the catalog again from the portal or from the disk's publisher.",
    );
  }
  return { diskName, version, signerFingerprint: await sha256(certificate.octets) };
}

async function readContent(element, withBlake3) {
  const fields = new Fields(element);
  const diskName = elementText(fields.take("DiskName"));
  const version = elementText(fields.take("Version"));
  const diskLength = numberFrom(elementText(fields.take("DiskLength")));
  const block = numberFrom(elementText(fields.take("BlockLength")));
  const signing = elementBytes(fields.take("SigningCertificate"), { most: CERTIFICATE_MAX });
  const boot = elementBytes(fields.take("BootCertificate"), { most: CERTIFICATE_MAX });
  const inner = new Fields(fields.take("Volumes"));
  const volumes = [];
  for (const item of inner.takeAll("Volume", ROLES.length)) {
    volumes.push(await readVolume(item, withBlake3));
  }
  inner.end();
  fields.end();
  if (block !== BLOCK_LENGTH) throw new Refusal("catalog-block-length", `Blocks of ${block} bytes are not supported.`);
  if (!NAME.test(diskName)) throw new Refusal("catalog-name", "The catalog's disk name is not acceptable.");
  checkVersion(version);
  checkLayout(volumes, diskLength);
  const certificate = readCertificate(signing, CERTIFICATE_MAX);
  checkRsaKey(certificate.spki);
  readCertificate(boot, CERTIFICATE_MAX);
  return { diskName, version, certificate };
}

async function readVolume(element, withBlake3) {
  const fields = new Fields(element, ["Role", "Offset", "Length"]);
  const volume = {
    role: fields.attribute("Role"),
    offset: numberFrom(fields.attribute("Offset")),
    length: numberFrom(fields.attribute("Length")),
  };
  const root = elementBytes(fields.take("Root"), { most: HASH_LENGTH, least: HASH_LENGTH });
  const leaves = elementBytes(fields.take("Leaves"), { most: LEAVES_MAX });
  const others = withBlake3 ? elementBytes(fields.take("Blake3"), { most: LEAVES_MAX }) : leaves;
  fields.end();
  const count = Math.ceil(volume.length / BLOCK_LENGTH);
  if (leaves.length !== count * HASH_LENGTH || others.length !== leaves.length || !same(await treeRoot(leaves), root)) {
    throw new Refusal("catalog-tree", "A hash tree in the catalog does not fit its volume.");
  }
  return volume;
}

/** The root of the tree over leaves of 32 octets each (RFC 6962, 2.1): an odd last node is carried up. */
async function treeRoot(leaves) {
  let level = Array.from({ length: leaves.length / HASH_LENGTH }, (_, at) =>
    leaves.subarray(at * HASH_LENGTH, (at + 1) * HASH_LENGTH),
  );
  while (level.length > 1) {
    const pairs = [];
    for (let at = 0; at + 1 < level.length; at += 2) {
      pairs.push(sha256(concat(Uint8Array.of(1), level[at], level[at + 1])));
    }
    const paired = await Promise.all(pairs);
    level = level.length % 2 ? [...paired, level[level.length - 1]] : paired;
  }
  return level[0];
}

function checkLayout(volumes, diskLength) {
  if (volumes.length !== ROLES.length || volumes.some((volume, at) => volume.role !== ROLES[at])) {
    throw new Refusal("catalog-volumes", "The catalog does not cover exactly the volumes a template disk has.");
  }
  let position = 0;
  for (const volume of volumes.toSorted((left, right) => left.offset - right.offset)) {
    if (volume.offset < position || volume.offset % SECTOR || volume.length % SECTOR) {
      throw new Refusal("catalog-volumes", "Volumes in the catalog overlap or do not lie on sectors.");
    }
    position = volume.offset + volume.length;
  }
  if (position !== diskLength) {
    throw new Refusal("catalog-volumes", "The volumes in the catalog do not end where the disk ends.");
  }
}

function numberFrom(text) {
  if (!LENGTH.test(text)) throw new Refusal("catalog-number", "The catalog has a length that is not a decimal number.");
  return Number(text);
}
