// Encryption and decryption.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ckks/encoding.hpp"
#include "ckks/keys.hpp"

namespace strongroom::ckks {

// (c0, c1) with c0 + c1 s = m + noise. The parts may be in either form; products need values form
// and bring them there.
struct Ciphertext {
    ring::Polynomial c0, c1;
};

// A fresh symmetric ciphertext: c1 is expanded from the seed, so c0 and the seed are all of it. c0
// has the form of the plaintext: coefficients are ready to be packed, values to be computed on.
struct SeededCiphertext {
    ring::Seed seed;
    Ciphertext ciphertext;
};

SeededCiphertext encrypt_symmetric(const Parameters& parameters, const Plaintext& plaintext,
                                   const SecretKey& secret);

// The ciphertext that a seed and c0 stand for.
Ciphertext restore_seeded(const Parameters& parameters, const ring::Seed& seed,
                          ring::Polynomial c0);

// (b u + e0 + m, a u + e1), over as many primes and in the form that the plaintext has. With
// special primes, b u + e0 and a u + e1 are computed modulo P Q and divided by P, so that of their
// noise nothing but rounding is left. Throws std::invalid_argument if the public key has fewer
// primes.
Ciphertext encrypt_public(const Parameters& parameters, const Plaintext& plaintext,
                          const PublicKey& key);

// m + noise, in the form of c0. The raw value: publishing it leaks the key (Li, Micciancio,
// eprint 2020/1533); `decrypt_flooded` is what people should see.
Plaintext decrypt_raw(const Ciphertext& ciphertext, const SecretKey& secret);

// Centred values of some coefficients, divided by the scale, each with Gaussian flooding of
// standard deviation 2^log_sigma (before the division) added.
std::vector<double> decrypt_flooded(const Ciphertext& ciphertext, const SecretKey& secret,
                                    std::span<const std::uint32_t> positions, double scale,
                                    double log_sigma);

}  // namespace strongroom::ckks
