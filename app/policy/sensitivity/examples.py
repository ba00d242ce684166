"""Credentials that their vendors publish as examples: who pastes one gives nothing away.

Kept as the first 16 digits of their SHA-256, so that no scanner of repositories takes this file for a leak.
"""

from __future__ import annotations

import hashlib

_DIGEST_CHARS = 16
_VENDORS = {
    "keys in the sources and samples of firebase-android-sdk, which gitleaks leaves alone too": """
2037abcaffb2b777 3f370c9dd8225c63 e4a5542bb7fd7b67 a19f89ab3555eac1 eb540d2b6ee2a0a4 37f8f09bdf12c2f2 8731261cb72d8626 49f777db995e8260
27a9a42931dff7eb dc0fcf046c61640c 4c98242dcadc8b29 ea9bb1082cf95663 3a8b61d0f636b007 a6c814bc555ae62c
""",
    "access keys and secret keys in the user guide of AWS IAM": "1a5d44a2dca19669 c6ea27c534f993d3 78314b11be2e5815 e21b597ba6b9cafa",
    "test keys in Stripe's API reference": "2cafc0970149a84f f2d6ca16515033e5 7e8de44ea9ecf6d5 b1471f544ceeea31 5895b89c8fb33402",
    "tokens in GitHub's guides to apps": "3543c50b0cb9cea8 bc3ae723f57c6b9e 82e74299544e0073 797c0ce414586cc8 6d7fa4e64d4b1f3e",
    "the answer of oauth.v2.access in Slack's reference": "2ddc147f3a3b5a17",
    "the one key of every Azurite, Microsoft's emulator of Azure Storage": "0011cc25eb432071",
    "the key and the token of Cloudflare's API reference": "2cd1f6f312c5f208 5e6a8235e121de87",
}
_DIGESTS = frozenset(digest for digests in _VENDORS.values() for digest in digests.split())


def is_published(value: str) -> bool:
    """Say whether a value is such an example."""
    return hashlib.sha256(value.encode("ascii", "replace")).hexdigest()[:_DIGEST_CHARS] in _DIGESTS
