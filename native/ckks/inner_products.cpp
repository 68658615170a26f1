#include "ckks/inner_products.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "ckks/evaluation.hpp"

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

InnerProductWeights::InnerProductWeights(Plaintext plaintext, std::size_t length)
    : values_(std::move(plaintext.polynomial)), length_(length) {
    const std::size_t n = values_.degree();
    if (length == 0 || length > n) throw std::invalid_argument("weights have 1 to N coefficients");
    values_.to_coefficients();
    reversed_.resize(values_.limbs() * length);
    for (std::size_t i = 0; i < values_.limbs(); ++i) {
        const std::uint64_t* coefficients = values_.row(i);
        std::reverse_copy(coefficients, coefficients + length, reversed_.data() + i * length);
        if (std::any_of(coefficients + length, coefficients + n,
                        [](std::uint64_t x) { return x != 0; })) {
            throw std::invalid_argument("weights have coefficients beyond their length");
        }
    }
    values_.to_values();
}

namespace {

// c0[p] = sum of w[t] a[p - t] for t below L, where a[-j] is -a[N - j].
void add_convolution(Polynomial& c0, const Polynomial& input, const InnerProductWeights& weights,
                     std::span<const std::uint32_t> positions) {
    const ring::Ring& ring = c0.ring();
    const std::size_t n = ring.degree();
    const std::size_t length = weights.length();
    const auto dot = ring.kernel().dot;
    for (std::size_t i = 0; i < c0.limbs(); ++i) {
        const ring::Modulus& m = ring.modulus(i);
        const std::uint64_t* a = input.row(i);
        const std::uint64_t* reversed = weights.reversed(i);
        for (const std::uint32_t p : positions) {
            const std::size_t wrapped = p + 1 < length ? length - p - 1 : 0;
            std::uint64_t sum =
                dot(a + (p + 1 + wrapped - length), reversed + wrapped, length - wrapped, m);
            if (wrapped != 0) {
                sum = ring::subtract_mod(sum, dot(a + n - wrapped, reversed, wrapped, m), m);
            }
            c0.row(i)[p] = ring::add_mod(c0.row(i)[p], sum, m);
        }
    }
}

}  // namespace

Ciphertext inner_products(std::span<const Ciphertext* const> inputs,
                          std::span<const InnerProductWeights* const> weights,
                          std::span<const std::uint32_t> positions) {
    if (inputs.empty() || inputs.size() != weights.size()) {
        throw std::invalid_argument("each input has its weights");
    }
    const ring::RingPointer& ring = inputs[0]->c0.ring_pointer();
    const std::size_t limbs = inputs[0]->c0.limbs();
    for (const std::uint32_t p : positions) {
        if (p >= ring->degree()) throw std::invalid_argument("no such coefficient");
    }
    Ciphertext result{Polynomial(ring, limbs, Form::kCoefficients),
                      Polynomial(ring, limbs, Form::kValues)};
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        const Ciphertext& input = *inputs[k];
        const Polynomial& factor = weights[k]->values();
        if (input.c0.ring_pointer() != ring || factor.ring_pointer() != ring ||
            input.c0.limbs() != limbs || input.c1.limbs() != limbs || factor.limbs() < limbs) {
            throw std::invalid_argument("operands of different rings or levels");
        }
        if (input.c1.form() == Form::kValues) {
            result.c1.multiply_add(input.c1, factor);
        } else {
            Polynomial values = input.c1;
            values.to_values();
            result.c1.multiply_add(values, factor);
        }
        if (input.c0.form() == Form::kCoefficients) {
            add_convolution(result.c0, input.c0, *weights[k], positions);
        } else {
            Polynomial coefficients = input.c0;
            coefficients.to_coefficients();
            add_convolution(result.c0, coefficients, *weights[k], positions);
        }
    }
    result.c1.to_coefficients();
    return result;
}

Ciphertext sanitised_inner_products(const Parameters& parameters,
                                    std::span<const Ciphertext* const> inputs,
                                    std::span<const InnerProductWeights* const> weights,
                                    std::span<const std::uint32_t> positions,
                                    std::span<const double> constants, double scale,
                                    const PublicKey& key, const Finishing& finishing) {
    Ciphertext result = inner_products(inputs, weights, positions);
    const std::size_t limbs = result.c0.limbs();
    if (finishing.response_limbs == 0 || finishing.response_limbs > finishing.sanitise_limbs ||
        finishing.sanitise_limbs > limbs) {
        throw std::invalid_argument("rescaling only drops primes, and keeps one");
    }
    add_at(result, positions, constants, scale);
    result = rescale(result, limbs - finishing.sanitise_limbs);
    result = sanitise(parameters, std::move(result), key, positions, finishing.log_sigma);
    return rescale(result, finishing.sanitise_limbs - finishing.response_limbs);
}

}  // namespace strongroom::ckks
