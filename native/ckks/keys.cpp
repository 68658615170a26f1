#include "ckks/keys.hpp"

#include <stdexcept>

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

SecretKey::SecretKey(const Parameters& parameters, ring::Secret<std::int32_t> coefficients)
    : coefficients_(std::move(coefficients)),
      values_(ring::lift(parameters.ring(), parameters.limbs(), coefficients_,
                         ring::Extent::kWithSpecial)) {
    values_.to_values();
}

SecretKey SecretKey::generate(const Parameters& parameters) {
    return SecretKey(parameters, ring::sample_ternary(parameters.ring_degree()));
}

SecretKey SecretKey::from_bytes(const Parameters& parameters, std::span<const std::uint8_t> bytes) {
    const std::size_t n = parameters.ring_degree();
    if (bytes.size() != n / 4) throw std::invalid_argument("a secret key of another length");
    ring::Secret<std::int32_t> coefficients(n);
    std::uint32_t invalid = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t pair = (bytes[i / 4] >> (2 * (i % 4))) & 3u;
        invalid |= pair & (pair >> 1);
        coefficients[i] =
            static_cast<std::int32_t>(pair & 1u) - static_cast<std::int32_t>(pair >> 1);
    }
    if (invalid != 0) throw std::invalid_argument("a secret key that is not ternary");
    return SecretKey(parameters, std::move(coefficients));
}

std::vector<std::uint8_t> SecretKey::to_bytes() const {
    std::vector<std::uint8_t> bytes(coefficients_.size() / 4);
    for (std::size_t i = 0; i < coefficients_.size(); ++i) {
        const auto x = static_cast<std::uint32_t>(coefficients_[i]);
        const std::uint32_t pair = (x & 1u) + ((x >> 31) & 1u);
        bytes[i / 4] = static_cast<std::uint8_t>(bytes[i / 4] | (pair << (2 * (i % 4))));
    }
    return bytes;
}

ring::Extent public_key_extent(const Parameters& parameters) {
    return parameters.ring()->special_limbs() == 0 ? ring::Extent::kData
                                                   : ring::Extent::kWithSpecial;
}

PublicKey generate_public_key(const Parameters& parameters, const SecretKey& secret,
                              std::size_t limbs) {
    return make_public_key(parameters, secret.values(), limbs, ring::random_seed());
}

PublicKey make_public_key(const Parameters& parameters, const Polynomial& secret, std::size_t limbs,
                          const ring::Seed& seed) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Extent extent = public_key_extent(parameters);
    Polynomial a = ring::expand_uniform(ring, limbs, seed, ring::Purpose::kPublicKey, 0, extent);
    const auto error = ring::sample_error(parameters.ring_degree(), ring->kernel());
    Polynomial b = ring::lift(ring, limbs, error, extent);
    b.to_values();
    Polynomial product = a;
    product.multiply(secret);
    b.subtract(product);
    product.wipe_all();  // divided by the public `a` it is the key
    return PublicKey{seed, std::move(b), std::move(a)};
}

PublicKey restore_public_key(const Parameters& parameters, const ring::Seed& seed, Polynomial b) {
    if (b.ring_pointer() != parameters.ring() || b.form() != Form::kValues ||
        b.extent() != public_key_extent(parameters)) {
        throw std::invalid_argument("a public key over another ring or in another form");
    }
    Polynomial a = ring::expand_uniform(parameters.ring(), b.limbs(), seed,
                                        ring::Purpose::kPublicKey, 0, b.extent());
    return PublicKey{seed, std::move(b), std::move(a)};
}

}  // namespace strongroom::ckks
