#include "ckks/evaluation.hpp"

#include <stdexcept>
#include <vector>

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

void add(Ciphertext& ciphertext, const Ciphertext& other) {
    const auto add_part = [](Polynomial& part, Polynomial term) {
        part.form() == Form::kValues ? term.to_values() : term.to_coefficients();
        part.add(term);
    };
    add_part(ciphertext.c0, other.c0);
    add_part(ciphertext.c1, other.c1);
}

void add_plain(Ciphertext& ciphertext, const Plaintext& plaintext) {
    Polynomial term = plaintext.polynomial;
    ciphertext.c0.form() == Form::kValues ? term.to_values() : term.to_coefficients();
    ciphertext.c0.add(term);
}

void add_at(Ciphertext& ciphertext, std::span<const std::uint32_t> positions,
            std::span<const double> values, double scale) {
    ciphertext.c0.to_coefficients();
    ciphertext.c1.to_coefficients();
    add_rounded(ciphertext.c0, positions, values, scale);
}

void multiply_plain(Ciphertext& ciphertext, const Plaintext& plaintext) {
    if (plaintext.polynomial.form() != Form::kValues) {
        Plaintext values = plaintext;
        values.polynomial.to_values();
        return multiply_plain(ciphertext, values);
    }
    ciphertext.c0.to_values();
    ciphertext.c1.to_values();
    ciphertext.c0.multiply(plaintext.polynomial);
    ciphertext.c1.multiply(plaintext.polynomial);
}

void rescale(Ciphertext& ciphertext, std::size_t drop) {
    for (std::size_t i = 0; i < drop; ++i) {
        ciphertext.c0.divide_by_last();
        ciphertext.c1.divide_by_last();
    }
}

void truncate(Ciphertext& ciphertext, std::size_t limbs) {
    ciphertext.c0.truncate(limbs);
    ciphertext.c1.truncate(limbs);
}

Ciphertext sanitise(const Parameters& parameters, Ciphertext ciphertext, const PublicKey& key,
                    std::span<const std::uint32_t> positions, double log_sigma) {
    const ring::RingPointer& ring = parameters.ring();
    const std::size_t n = parameters.ring_degree();
    const std::size_t limbs = ciphertext.c0.limbs();
    if (key.b.limbs() < limbs) throw std::invalid_argument("the public key has too few primes");
    std::vector<char> declared(n, 0);
    for (const std::uint32_t position : positions) {
        if (position >= n || declared[position] != 0) {
            throw std::invalid_argument("a declared coefficient does not exist or comes twice");
        }
        declared[position] = 1;
    }
    // The encryption of zero (b u + e0, a u + e1), of which only declared coefficients of the first
    // part are ever needed.
    Polynomial u = ring::lift(ring, limbs, ring::sample_ternary(n));
    u.to_values();
    Polynomial mask0 = u;
    Polynomial mask1 = std::move(u);
    mask0.multiply(key.b);
    mask1.multiply(key.a);
    mask0.to_coefficients();
    mask1.to_coefficients();
    ciphertext.c0.to_coefficients();
    ciphertext.c1.to_coefficients();
    ciphertext.c1.add(mask1);
    ciphertext.c1.add_small(ring::sample_error(n, ring->kernel()));
    const std::size_t padded = (positions.size() + 7) / 8 * 8;
    const auto error = ring::sample_error(padded, ring->kernel());
    Polynomial result(ring, limbs, Form::kCoefficients);
    for (std::size_t l = 0; l < limbs; ++l) {
        const ring::Modulus& m = ring->modulus(l);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const std::size_t p = positions[i];
            const std::int64_t e = error[i];
            const std::uint64_t residue =
                static_cast<std::uint64_t>(e) + (m.value & static_cast<std::uint64_t>(e >> 63));
            result.limb(l)[p] = ring::add_mod(
                ring::add_mod(ciphertext.c0.limb(l)[p], mask0.limb(l)[p], m), residue, m);
        }
    }
    ring::add_flood(result, positions, ring::sample_flood(positions.size(), log_sigma));
    return Ciphertext{std::move(result), std::move(ciphertext.c1)};
}

}  // namespace strongroom::ckks
