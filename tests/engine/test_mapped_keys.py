"""Mapped keys: used in place, let go in time, and never from under whoever uses them."""

from __future__ import annotations

import json
import mmap
import random
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_rings import chain, unchecked

from strongroom import _native, engine
from strongroom.engine import SecretKey
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.galois import RELINEARISATION, rotation_element
from strongroom.engine.key_files import write_key_file
from strongroom.engine.key_serialisation import switching_key_to_bytes
from strongroom.engine.mapped_keys import KeyCache, MappedKeys
from strongroom.errors import KeyStoreError

MIB = 2**20
PARAMETERS = unchecked(1024, chain(1024, (45, 40, 40)), chain(1024, (46,)))
KEY_BYTES = 8 * _native.switching_key_words(PARAMETERS.native, 3)
MAPPED_BYTES = -(-KEY_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
STEPS = range(1, 6)
ELEMENTS = [rotation_element(PARAMETERS, k) for k in STEPS]


@pytest.fixture(scope="module")
def secret() -> SecretKey:
    """A tenant's secret key."""
    return SecretKey.generate(PARAMETERS)


@pytest.fixture
def path(tmp_path: Path, secret: SecretKey) -> Path:
    """Its key file: products and five rotations."""
    path = tmp_path / "keys"
    elements = [RELINEARISATION, *ELEMENTS]
    write_key_file(path, PARAMETERS, (secret.switching_key(e) for e in elements))
    return path


def mapped(path: Path) -> int:
    """Bytes of a file that this process has mapped."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            first, last = line.split()[0].split("-")
            assert line.split()[1] == "r--s"
            total += int(last, 16) - int(first, 16)
    return total


def test_computing_with_mapped_keys_is_computing_with_keys(path: Path, secret: SecretKey) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 512)
    plaintext = engine.encode_slots(PARAMETERS, values, Fraction(2**40), 3)
    ciphertext = secret.encrypt(plaintext)
    with MappedKeys(path, PARAMETERS, KeyCache(2 * KEY_BYTES)) as keys:
        assert keys.elements == {RELINEARISATION, *ELEMENTS}
        evaluator = Evaluator(keys, threads=2)
        turned = evaluator.rotate_many(ciphertext, STEPS)
        product = evaluator.multiply(ciphertext, ciphertext, drop=1)
    for steps, result in zip(STEPS, turned, strict=True):
        opened = engine.decode(secret.decrypt_raw_do_not_publish(result))
        np.testing.assert_allclose(opened, np.roll(values, -steps), rtol=0, atol=2**-20)
    opened = engine.decode(secret.decrypt_raw_do_not_publish(product))
    np.testing.assert_allclose(opened, values**2, rtol=0, atol=2**-20)


def test_a_key_is_mapped_when_it_is_asked_for_and_once(path: Path) -> None:
    cache = KeyCache(10 * KEY_BYTES)
    with MappedKeys(path, PARAMETERS, cache) as keys:
        assert (cache.mapped_bytes, mapped(path)) == (0, 0)
        first = keys.key(ELEMENTS[0])
        assert (first.element, first.limbs, first.parameters) == (ELEMENTS[0], 3, PARAMETERS)
        assert keys.key(ELEMENTS[0]) is first
        assert (cache.mapped_bytes, mapped(path)) == (KEY_BYTES, MAPPED_BYTES)
        keys.key(ELEMENTS[1])
        assert (cache.mapped_bytes, mapped(path)) == (2 * KEY_BYTES, 2 * MAPPED_BYTES)
        assert cache.evictions == 0


def test_the_least_recently_used_key_goes_first(path: Path) -> None:
    cache = KeyCache(3 * KEY_BYTES)
    with MappedKeys(path, PARAMETERS, cache) as keys:
        places = [keys.key(e).native.words.ctypes.data for e in ELEMENTS[:3]]
        assert keys.key(ELEMENTS[0]).native.words.ctypes.data == places[0]
        keys.key(ELEMENTS[3])  # in place of the second
        assert cache.evictions == 1
        for element in (ELEMENTS[0], ELEMENTS[2], ELEMENTS[3]):
            keys.key(element)
        assert cache.evictions == 1
        keys.key(ELEMENTS[1])
        assert cache.evictions == 2
        assert (cache.mapped_bytes, mapped(path)) == (3 * KEY_BYTES, 3 * MAPPED_BYTES)


def test_tenants_share_one_limit(tmp_path: Path) -> None:
    cache = KeyCache(4 * KEY_BYTES)
    tenants = []
    for name in "abc":
        write_key_file(
            tmp_path / name,
            PARAMETERS,
            (SecretKey.generate(PARAMETERS).switching_key(e) for e in ELEMENTS[:3]),
        )
        tenants.append(MappedKeys(tmp_path / name, PARAMETERS, cache))
    for tenant in tenants:
        for element in ELEMENTS[:3]:
            tenant.key(element)
    assert [mapped(tmp_path / name) // MAPPED_BYTES for name in "abc"] == [0, 1, 3]
    assert cache.mapped_bytes == 4 * KEY_BYTES
    tenants[2].close()
    assert [mapped(tmp_path / name) // MAPPED_BYTES for name in "abc"] == [0, 1, 0]
    assert cache.mapped_bytes == KEY_BYTES
    assert cache.evictions == 5
    for tenant in tenants:
        tenant.close()
    assert cache.mapped_bytes == 0


def test_a_key_in_use_outlives_its_eviction_and_then_is_unmapped(
    path: Path, secret: SecretKey
) -> None:
    cache = KeyCache(KEY_BYTES)
    keys = MappedKeys(path, PARAMETERS, cache)
    key = keys.key(ELEMENTS[0])
    words = key.native.words
    before = words.copy()
    keys.key(ELEMENTS[1])
    assert (cache.evictions, cache.mapped_bytes) == (1, KEY_BYTES)
    assert mapped(path) == 2 * MAPPED_BYTES
    keys.close()
    path.unlink()
    gone = Path(f"{path} (deleted)")
    assert mapped(gone) == MAPPED_BYTES
    np.testing.assert_array_equal(words, before)
    del key
    assert mapped(gone) == MAPPED_BYTES
    del words
    assert mapped(gone) == 0


@pytest.mark.parametrize(
    "cache", [KeyCache(KEY_BYTES - 1), KeyCache(0), KeyCache(MIB, limit_keys=0)]
)
def test_a_key_beyond_the_limit_is_mapped_for_as_long_as_it_is_used(
    path: Path, cache: KeyCache
) -> None:
    with MappedKeys(path, PARAMETERS, cache) as keys:
        key = keys.key(ELEMENTS[0])
        assert cache.mapped_bytes == 0
        assert mapped(path) == MAPPED_BYTES
        del key
        assert mapped(path) == 0


def test_the_number_of_mapped_keys_has_a_limit_too(path: Path) -> None:
    cache = KeyCache(MIB, limit_keys=2)
    with MappedKeys(path, PARAMETERS, cache) as keys:
        for element in ELEMENTS:
            keys.key(element)
        assert (cache.mapped_bytes, mapped(path)) == (2 * KEY_BYTES, 2 * MAPPED_BYTES)
        assert cache.evictions == 3


def test_limits_are_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        KeyCache(-1)
    with pytest.raises(ValueError, match="negative"):
        KeyCache(1, limit_keys=-1)


def test_missing_keys_are_named(path: Path) -> None:
    with MappedKeys(path, PARAMETERS, KeyCache(MIB)) as keys:
        with pytest.raises(KeyStoreError, match="rotation by 77") as caught:
            keys.key(rotation_element(PARAMETERS, 77))
        assert caught.value.code == "SR-KEYS-MISSING"


def test_closed_keys_are_not_mapped_again(path: Path) -> None:
    cache = KeyCache(MIB)
    keys = MappedKeys(path, PARAMETERS, cache)
    keys.key(ELEMENTS[0])
    keys.close()
    with pytest.raises(ValueError, match="closed"):
        keys.key(ELEMENTS[0])
    keys.close()


def test_a_key_from_a_file_does_not_travel(path: Path) -> None:
    with (
        MappedKeys(path, PARAMETERS, KeyCache(MIB)) as keys,
        pytest.raises(ValueError, match="no seed"),
    ):
        switching_key_to_bytes(keys.key(ELEMENTS[0]))


def test_threads_share_a_cache_that_is_always_too_small(path: Path, secret: SecretKey) -> None:
    cache = KeyCache(2 * KEY_BYTES)
    values = np.random.default_rng(1).uniform(-1, 1, 512)
    ciphertext = secret.encrypt(engine.encode_slots(PARAMETERS, values, Fraction(2**40), 3))
    faults: list[BaseException] = []
    with MappedKeys(path, PARAMETERS, cache) as keys:
        evaluator = Evaluator(keys, threads=1)
        expected = {
            k: [part.copy() for part in evaluator.rotate(ciphertext, k).native.residues()]
            for k in STEPS
        }

        def turn(seed: int) -> None:
            choices = random.Random(seed)
            try:
                for _ in range(60):
                    steps = choices.choice(STEPS)
                    result = evaluator.rotate(ciphertext, steps).native.residues()
                    for ours, theirs in zip(result, expected[steps], strict=True):
                        np.testing.assert_array_equal(ours, theirs)
                    assert cache.mapped_bytes <= 2 * KEY_BYTES
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=turn, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults
        assert cache.evictions > 20
        assert mapped(path) == cache.mapped_bytes // KEY_BYTES * MAPPED_BYTES
    assert mapped(path) == 0


def serve_tenants(folder: Path, **settings: int) -> dict[str, int]:
    """Run `serving_many_tenants` in a process of its own: what it measured, in bytes."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    script = Path(__file__).with_name("serving_many_tenants.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tenants_whose_keys_are_many_times_the_limit_are_served_within_it(tmp_path: Path) -> None:
    limit = 8 * MIB
    seen = serve_tenants(
        tmp_path, log_degree=13, primes=3, bits=40, special=1, tenants=10, keys=3, limit=limit
    )
    assert seen["file_bytes"] > 5 * limit
    assert seen["most_mapped"] <= limit
    assert seen["evictions"] > 40
    # Beside mapped keys, pages of libraries that are touched meanwhile.
    assert seen["file_peak"] - seen["file_before"] < limit + 8 * MIB
    assert seen["anonymous_peak"] - seen["anonymous_before"] < 48 * MIB
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.timeout(1600)
def test_two_gigabytes_of_ten_tenants_keys_are_served_in_a_gigabyte(tmp_path: Path) -> None:
    seen = serve_tenants(
        tmp_path,
        log_degree=15,
        primes=15,
        bits=43,
        special=5,
        tenants=10,
        keys=7,
        limit=512 * MIB,
    )
    assert seen["file_bytes"] >= 2 * 10**9
    assert seen["most_mapped"] <= 512 * MIB
    assert seen["evictions"] > 100
    assert seen["anonymous_peak"] < 300 * 10**6
    assert seen["total_peak"] < 10**9
