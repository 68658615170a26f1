#include "ring/base_conversion.hpp"

#include <stdexcept>

#include "ring/ring.hpp"

namespace strongroom::ring {

BaseConversion::BaseConversion(const Ring& ring, std::vector<std::size_t> sources)
    : ring_(ring), sources_(std::move(sources)), targets_(ring.primes()) {
    std::uint64_t sum = 0;
    for (const std::size_t source : sources_) sum += ring.modulus(source).value;
    if (sources_.empty() || sources_.size() > kMostCombined || sum > std::uint64_t{1} << 53) {
        throw std::invalid_argument("too many primes to convert from at once");
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
    const Kernel& kernel = ring_.kernel();
    for (std::size_t i = sources_.size(); i-- > 0;) {
        const Modulus& m = ring_.modulus(sources_[i]);
        // (D - 1)/2 is -1/2 modulo each source.
        kernel.add_constant(rows[i], rows[i], (m.value - 1) / 2, n, m);
        for (std::size_t j = sources_.size(); j-- > i + 1;) {
            const ShoupFactor& inverse = ring_.inverse(sources_[j], sources_[i]);
            kernel.subtract_scale(rows[i], rows[i], rows[j], n, inverse.value, inverse.shoup, m);
        }
    }
}

void BaseConversion::to_residues(std::uint64_t* out, std::span<const std::uint64_t* const> digits,
                                 std::size_t target, std::size_t n) const {
    const Target& t = targets_[target];
    ring_.kernel().combine(out, digits.data(), t.factors.data(), digits.size(), t.offset, n,
                           ring_.modulus(target));
}

}  // namespace strongroom::ring
