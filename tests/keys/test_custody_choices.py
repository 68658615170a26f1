"""What a command line may say of custody, and what it may not."""

from __future__ import annotations

import pytest

from strongroom.errors import KeyStoreError
from strongroom.keys.custody_choices import (
    ByKeyring,
    ByKeyService,
    ByPassphrase,
    ByToken,
    Choice,
    parse_choice,
)

CHOICES: dict[str, Choice] = {
    "passphrase": ByPassphrase(),
    "keyring": ByKeyring(),
    "pkcs11:token=strong": ByToken("strong", "strongroom"),
    "pkcs11:object=mine;token=strong%20room": ByToken("strong room", "mine"),
    "kms:alias/strongroom": ByKeyService("alias/strongroom"),
    "kms:arn:aws:kms:eu-central-1:1:key/0a": ByKeyService("arn:aws:kms:eu-central-1:1:key/0a"),
}


@pytest.mark.parametrize("text", CHOICES)
def test_each_way_of_custody_is_read(text: str) -> None:
    assert parse_choice(text) == CHOICES[text]


REFUSED = {
    "nothing": "",
    "unknown": "vault",
    "passphrase_given": "passphrase:canary-1",
    "keyring_with_more": "keyring:canary-1",
    "token_without_label": "pkcs11:",
    "token_empty": "pkcs11:token=",
    "token_twice": "pkcs11:token=canary-1;token=canary-2",
    "token_not_ascii": "pkcs11:token=canary-%C3%BC",
    "token_too_long": "pkcs11:token=" + "canary-1" * 9,
    "token_pin": "pkcs11:token=a?pin-value=canary-1",
    "token_module": "pkcs11:token=a?module-path=/canary-1.so",
    "token_other_attribute": "pkcs11:token=a;pin=canary-1",
    "service_without_key": "kms:",
    "service_with_spaces": "kms:canary 1",
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_and_not_repeated(case: str) -> None:
    with pytest.raises(KeyStoreError) as caught:
        parse_choice(REFUSED[case])
    assert caught.value.code == "SR-KEYS-CUSTODY"
    assert "canary" not in str(caught.value)
