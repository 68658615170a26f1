// Decryption by holders of parts, at some coefficients only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ckks/encryption.hpp"
#include "threshold/key_part.hpp"

namespace strongroom::threshold {

// Coefficients of (sum of parts) c1, each with a fresh Gaussian of standard deviation 2^log_sigma
// from the system's randomness: for each data prime of c1 the residues at all positions. log_sigma
// is what ring::sample_flood takes. c1 is in coefficient form. Throws std::invalid_argument for no
// parts, parts or c1 of other rings, or a position that is not below N.
//
// By one transform and one back for each prime: two or three inner products of N words would cost
// as much, once the part's coefficients were there, which it does not keep.
std::vector<std::uint64_t> decryption_share(const ckks::Parameters& parameters,
                                            std::span<const KeyPart* const> parts,
                                            ring::Polynomial c1,
                                            std::span<const std::uint32_t> positions,
                                            double log_sigma);

// c0 + c1 (sum of parts): message and noise, which nobody may compute but a test.
ckks::Plaintext decrypt_raw_jointly(const ckks::Ciphertext& ciphertext,
                                    std::span<const KeyPart* const> parts);

// The sum of residues modulo each of the first `limbs` data primes, centred and divided by the
// scale: the message, if the summands are c0 at some positions and shares of all parts. Each
// summand has the residues of `count` coefficients for each prime. Throws std::invalid_argument for
// another number of words, or a word that is not below its prime.
std::vector<double> sum_centred(const ckks::Parameters& parameters, std::size_t limbs,
                                std::size_t count,
                                std::span<const std::span<const std::uint64_t>> summands,
                                double scale);

// Residues of a polynomial in coefficient form at some positions, for each of its data primes.
std::vector<std::uint64_t> residues_at(const ring::Polynomial& polynomial,
                                       std::span<const std::uint32_t> positions);

}  // namespace strongroom::threshold
