#include "ckks/switching_keys.hpp"

#include <stdexcept>
#include <utility>

#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

namespace {

std::size_t digits_of(const Parameters& parameters, std::size_t limbs) {
    const std::vector<std::size_t>& ends = parameters.digit_ends();
    if (ends.empty()) {
        throw std::invalid_argument("these parameters have no special primes to switch keys with");
    }
    if (limbs == 0 || limbs > parameters.limbs()) {
        throw std::invalid_argument("the number of limbs is not in the chain");
    }
    std::size_t digits = 1;
    while (ends[digits - 1] < limbs) ++digits;
    return digits;
}

std::uint64_t inverse_element(std::uint64_t element, std::size_t degree) {
    // The odd residues modulo 2N = 2^k form a group whose exponent divides N / 2 (for N > 4).
    std::uint64_t inverse = 1;
    std::uint64_t power = element;
    for (std::size_t exponent = degree / 2 - 1; exponent != 0; exponent >>= 1) {
        if (exponent & 1) inverse = inverse * power % (2 * degree);
        power = power * power % (2 * degree);
    }
    return inverse;
}

}  // namespace

std::size_t SwitchingKey::size(const Parameters& parameters, std::size_t limbs) {
    return digits_of(parameters, limbs) * 2 * (limbs + parameters.ring()->special_limbs()) *
           parameters.ring()->row_words();
}

SwitchingKey::SwitchingKey(const Parameters& parameters, std::uint64_t element, std::size_t limbs,
                           std::span<const std::uint64_t> words)
    : ring_(parameters.ring()),
      element_(element),
      limbs_(limbs),
      rows_(limbs + parameters.ring()->special_limbs()),
      digits_(digits_of(parameters, limbs)),
      words_(words) {
    if (words.size() != size(parameters, limbs)) {
        throw std::invalid_argument("a switching key of another length");
    }
    if (element == 1) throw std::invalid_argument("the identity needs no key");
    if (element != kRelinearisation) automorphism_.emplace(ring_->degree(), element);
}

SwitchingKey SwitchingKey::restore(const Parameters& parameters, std::uint64_t element,
                                   std::size_t limbs, const ring::Seed& seed, ring::Words words) {
    auto owned = std::make_shared<ring::Words>(std::move(words));
    SwitchingKey key(parameters, element, limbs, *owned);
    ring::parallel_for(key.digits_ * key.rows_, [&](std::size_t task) {
        const std::size_t digit = task / key.rows_;
        const std::size_t row = task % key.rows_;
        const std::size_t prime = row < limbs ? row : row - limbs + parameters.limbs();
        ring::expand_uniform_row(
            *key.ring_, prime, seed, ring::Purpose::kSwitchingKey,
            static_cast<std::uint32_t>(digit),
            owned->data() + ((2 * digit + 1) * key.rows_ + row) * key.ring_->row_words());
    });
    key.owned_ = std::move(owned);
    key.seed_ = seed;
    return key;
}

SwitchingKey SwitchingKey::generate(const Parameters& parameters, const SecretKey& secret,
                                    std::uint64_t element, std::size_t limbs) {
    return generate(parameters, secret.values(), element, limbs, ring::random_seed());
}

SwitchingKey SwitchingKey::generate(const Parameters& parameters, const Polynomial& secret,
                                    std::uint64_t element, std::size_t limbs,
                                    const ring::Seed& seed) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = parameters.ring_degree();
    if (secret.ring_pointer() != ring) {
        throw std::invalid_argument("a secret key of other parameters");
    }
    SwitchingKey key =
        restore(parameters, element, limbs, seed, ring::Words(size(parameters, limbs), 0));
    auto* words = const_cast<std::uint64_t*>(key.words_.data());
    // The key's target t, and s' that it switches to, modulo the prime of each row.
    const auto prime_of = [&](std::size_t row) {
        return row < limbs ? row : row - limbs + parameters.limbs();
    };
    std::optional<ring::Automorphism> inverse;
    if (element != kRelinearisation) inverse.emplace(n, inverse_element(element, n));
    for (std::size_t digit = 0; digit < key.digits_; ++digit) {
        const std::size_t begin = digit == 0 ? 0 : parameters.digit_ends()[digit - 1];
        const std::size_t end = parameters.digit_ends()[digit];
        Polynomial error =
            ring::lift(ring, limbs, ring::sample_error(n, kernel), Extent::kWithSpecial);
        error.to_values();
        ring::parallel_for(key.rows_, [&](std::size_t row) {
            const std::size_t prime = prime_of(row);
            const ring::Modulus& m = ring->modulus(prime);
            ring::Secret<std::uint64_t> target(n), product(n);
            const std::uint64_t* its_secret = secret.row(prime);
            if (inverse) {
                kernel.permute(target.data(), its_secret, *inverse);
                kernel.multiply(product.data(), key.a(digit, row), target.data(), n, m);
            } else {
                kernel.multiply(product.data(), key.a(digit, row), its_secret, n, m);
            }
            std::uint64_t* b = words + (2 * digit * key.rows_ + row) * ring->row_words();
            kernel.subtract(b, error.row(row), product.data(), n, m);
            if (row < begin || row >= end || row >= limbs) return;
            if (inverse) {
                std::copy(its_secret, its_secret + n, target.data());
            } else {
                kernel.multiply(target.data(), its_secret, its_secret, n, m);
            }
            const std::uint64_t special = ring->conversion(0, 0, true).product_times_two_52(prime);
            const std::uint64_t* term = target.data();
            kernel.combine(product.data(), &term, &special, 1, 0, n, m);
            kernel.add(b, b, product.data(), n, m);
        });
        error.wipe_all();
    }
    return key;
}

}  // namespace strongroom::ckks
