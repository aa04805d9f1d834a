"""Fuzzing of every parser that reads what others write.

``python -m tests.fuzz`` runs each harness for a while; ``python -m tests.fuzz.tcg_logs -max_total_time=600 FOLDER``
runs one, with libFuzzer's options. The corpus in ``corpus/NAME`` is our own: what our writers write
(``python -m tests.fuzz.seeds``) and what the fuzzer once found.
"""

from typing import Final

HARNESSES: Final = (
    "tpm_structures",
    "hgsa_messages",
    "ek_certificates",
    "platform_identifiers",
    "ci_policies",
    "tcg_logs",
    "sipa_records",
    "baselines",
    "evidence_files",
    "host_identities",
    "log_checkpoints",
    "log_entries",
    "log_bundles",
    "key_protectors",
    "guardian_files",
    "revocation_notices",
    "kps_messages",
    "owner_proofs",
    "state_files",
    "token_keys",
    "rollover_bundles",
    "shielding_data",
    "recovery_keys",
    "answer_files",
)
"""One module per family of parsers; each has ``check(data)``, which raises for what must not happen."""
