#include "ring/base_conversion.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "ring/ring.hpp"

namespace strongroom::ring {

BaseConversion::BaseConversion(const Ring& ring, std::vector<std::size_t> sources)
    : ring_(ring), sources_(std::move(sources)), targets_(ring.primes()) {
    std::uint64_t sum = 0;
    for (const std::size_t source : sources_) sum += ring.modulus(source).value;
    if (sources_.empty() || sources_.size() > kMostCombined || sum > kLargestCombined) {
        throw std::invalid_argument("too many primes to convert from at once");
    }
    // With W_i the product of the primes after p_i: d_i = (x + (D - 1)/2 - sum of d_j W_j) / W_i.
    digits_.resize(sources_.size());
    for (std::size_t i = 0; i < sources_.size(); ++i) {
        const Modulus& m = ring.modulus(sources_[i]);
        std::vector<std::uint64_t> weights = {1};
        for (std::size_t j = sources_.size(); j-- > i + 1;) {
            const std::uint64_t prime = ring.modulus(sources_[j]).value % m.value;
            weights.push_back(multiply_mod(weights.back(), prime, m));
        }
        const std::uint64_t inverse = inverse_mod(weights.back(), m);
        weights.pop_back();
        Digit& digit = digits_[i];
        digit.factors.push_back(multiply_mod(inverse, m.two_52, m));
        for (std::size_t j = weights.size(); j-- > 0;) {
            const std::uint64_t factor = multiply_mod(weights[j], digit.factors[0], m);
            digit.factors.push_back(reduce_once(m.value - factor, m.value));
        }
        // D is 0 modulo each source.
        digit.offset = multiply_mod((m.value - 1) / 2, inverse, m);
    }
    for (std::size_t t = 0; t < targets_.size(); ++t) {
        const Modulus& m = ring.modulus(t);
        Target& target = targets_[t];
        target.factors.resize(sources_.size());
        std::uint64_t weight = 1;
        for (std::size_t i = sources_.size(); i-- > 0;) {
            target.factors[i] = multiply_mod(weight, m.two_52, m);
            weight = multiply_mod(weight, ring.modulus(sources_[i]).value % m.value, m);
        }
        target.product = weight;
        target.product_times_two_52 = multiply_mod(weight, m.two_52, m);
        if (weight == 0) continue;  // t is a source
        target.inverse_product = ShoupFactor(inverse_mod(weight, m), m);
        const std::uint64_t half = multiply_mod(weight - 1, (m.value + 1) / 2, m);
        target.offset = reduce_once(m.value - half, m.value);
    }
}

void BaseConversion::to_digits(std::span<std::uint64_t* const> rows, std::size_t n) const {
    std::array<const std::uint64_t*, kMostCombined> terms;
    std::copy(rows.begin(), rows.end(), terms.begin());
    for (std::size_t i = sources_.size(); i-- > 0;) {
        const Digit& digit = digits_[i];
        ring_.kernel().combine(rows[i], terms.data() + i, digit.factors.data(),
                               digit.factors.size(), digit.offset, n, ring_.modulus(sources_[i]));
    }
}

void BaseConversion::to_residues(std::uint64_t* out, std::span<const std::uint64_t* const> digits,
                                 std::size_t target, std::size_t n) const {
    const Target& t = targets_[target];
    ring_.kernel().combine(out, digits.data(), t.factors.data(), digits.size(), t.offset, n,
                           ring_.modulus(target));
}

}  // namespace strongroom::ring
