// Sums of rotated ciphertexts times diagonals: matrix times vector in slots.
#pragma once

#include <span>
#include <vector>

#include "ckks/products.hpp"

namespace strongroom::ckks {

// Baby-step giant-step: the result is the sum over giant steps i of
//     rotate_i( sum over baby steps j of diagonal[i][j] rotate_j(x) ).
// A step is given by its key, nullptr for the identity; a diagonal by a pointer, nullptr for zero.
// `diagonals` holds babies.size() of them for each giant step. Where giant steps are 0, s, 2 s, ...
// they may be chained, as Horner evaluates a polynomial: then all but the first have the key for s,
// and one key takes the place of many.
template <class Diagonal>
struct LinearTransform {
    std::span<const SwitchingKey* const> babies, giants;
    std::span<const Diagonal* const> diagonals;
    bool chained = false;

    const Diagonal* diagonal(std::size_t giant, std::size_t baby) const {
        return diagonals[giant * babies.size() + baby];
    }
};

// With plaintext diagonals, in values form over data and special primes. Both kinds of steps are
// hoisted: rotated inputs stay multiplied by P through all products of a giant step, and results of
// giant steps are summed before the one division at the end (Bossuat, Mouchet, Troncoso-Pastoriza,
// Hubaux, "Efficient bootstrapping for approximate homomorphic encryption with non-sparse keys",
// EUROCRYPT 2021, algorithm 6). Rescaled by the last `drop` primes in that division. Throws
// std::invalid_argument for operands that do not fit together.
Ciphertext transform(const Parameters& parameters, const Ciphertext& x,
                     const LinearTransform<Plaintext>& plan, std::size_t drop);

// With encrypted diagonals, in values form. Rotated inputs share one decomposition; the products of
// a giant step are summed as three-component ciphertexts and relinearised once.
Ciphertext transform(const Parameters& parameters, const Ciphertext& x,
                     const LinearTransform<Ciphertext>& plan, const SwitchingKey& relinearisation,
                     std::size_t drop);

}  // namespace strongroom::ckks
