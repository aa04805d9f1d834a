// Volume ID qualifiers: which template disks an owner trusts with shielding data.
import { grouped, hex } from "./octets.js";
import { Refusal } from "./refusal.js";

const DISK_NAME_MAX = 64;
const PART_MAX = 65535;
const VERSION = /^(?:0|[1-9][0-9]{0,4})(?:\.(?:0|[1-9][0-9]{0,4})){3}$/;
const NOT_PRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

/** How a disk's version is compared with the qualifier's, in words. */
export const RULES = {
  Equals: (version) => `exactly ${version}`,
  GreaterThan: (version) => `newer than ${version}`,
  GreaterThanOrEquals: (version) => `${version} or newer`,
};

/** A qualifier of checked parts; `signerFingerprint` has 32 octets. Throws a Refusal. */
export function qualifier(diskName, signerFingerprint, version, rule) {
  const length = [...diskName].length;
  if (!length || length > DISK_NAME_MAX || NOT_PRINTABLE.test(diskName)) {
    throw new Refusal("disk-name", `A disk name has 1 to ${DISK_NAME_MAX} printable characters.`);
  }
  checkVersion(version);
  if (!Object.hasOwn(RULES, rule)) throw new Refusal("unknown-value", "This rule for versions is not known.");
  return { diskName, signerFingerprint, version, rule };
}

export function checkVersion(version) {
  if (!VERSION.test(version) || version.split(".").some((part) => Number(part) > PART_MAX)) {
    throw new Refusal("version", "A version is four numbers below 65536 with dots between, such as 1.0.0.0.");
  }
}

/** A qualifier in words. */
export function describe(one) {
  return `${one.diskName}, ${RULES[one.rule](one.version)}, signed by ${grouped(hex(one.signerFingerprint))}`;
}
