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

void multiply_plain(Ciphertext& ciphertext, const Plaintext& plaintext) {
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
    const std::size_t n = parameters.ring_degree();
    std::vector<char> declared(n, 0);
    for (const std::uint32_t position : positions) {
        if (position >= n || declared[position] != 0) {
            throw std::invalid_argument("a declared coefficient does not exist or comes twice");
        }
        declared[position] = 1;
    }
    const std::size_t limbs = ciphertext.c0.limbs();
    const Plaintext zero{Polynomial(parameters.ring(), limbs, Form::kCoefficients)};
    const Ciphertext mask = encrypt_public(parameters, zero, key);
    ciphertext.c0.to_coefficients();
    ciphertext.c1.to_coefficients();
    add(ciphertext, mask);
    for (std::size_t l = 0; l < limbs; ++l) {
        std::uint64_t* c0 = ciphertext.c0.limb(l);
        for (std::size_t i = 0; i < n; ++i) c0[i] = declared[i] != 0 ? c0[i] : 0;
    }
    ring::add_flood(ciphertext.c0, positions, ring::sample_flood(positions.size(), log_sigma));
    return ciphertext;
}

}  // namespace strongroom::ckks
