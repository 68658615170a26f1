// Sums of rotated ciphertexts times diagonals: matrix times vector in slots.
#pragma once

#include <span>
#include <vector>

#include "ckks/diagonals.hpp"
#include "ckks/products.hpp"

namespace strongroom::ckks {

// Baby-step giant-step: the result is the sum over giant steps i of
//     rotate_i( sum over inputs s and baby steps j of diagonal[i][s][j] rotate_j(x_s) ).
// Several inputs are one vector rotated by middle steps, so that few keys make many baby steps. A
// step is given by its key, nullptr for the identity. `diagonals` holds babies.size() of them for
// each input, for each giant step: all places of `Diagonals`, or pointers, nullptr for those that
// are zero. Where giant steps are 0, s, 2 s, ... they may be chained, as Horner evaluates a
// polynomial: then all but the first have the key for s, and one key takes the place of many.
template <class Factors>
struct LinearTransform {
    std::span<const SwitchingKey* const> babies, giants;
    Factors diagonals;
    bool chained = false;
};
using PlainTransform = LinearTransform<const Diagonals&>;
using EncryptedTransform = LinearTransform<std::span<const Ciphertext* const>>;

// With plaintext diagonals. Both kinds of steps are hoisted: rotated inputs stay multiplied by P
// through all products of a giant step, and results of giant steps are summed before the one
// division at the end (Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux, "Efficient bootstrapping for
// approximate homomorphic encryption with non-sparse keys", EUROCRYPT 2021, algorithm 6). Rescaled
// by the last `drop` primes in that division. Throws std::invalid_argument for operands that do not
// fit together.
Ciphertext transform(const Parameters& parameters, std::span<const Ciphertext* const> inputs,
                     const PlainTransform& plan, std::size_t drop);

// With encrypted diagonals, in values form. Rotations of an input share one decomposition; the
// products of a giant step are summed as three-component ciphertexts and relinearised once.
Ciphertext transform(const Parameters& parameters, std::span<const Ciphertext* const> inputs,
                     const EncryptedTransform& plan, const SwitchingKey& relinearisation,
                     std::size_t drop);

}  // namespace strongroom::ckks
