#include "ckks/encryption.hpp"

#include <array>
#include <stdexcept>

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

namespace {

Polynomial fresh_error(const ring::RingPointer& ring, std::size_t limbs, ring::Extent extent) {
    return ring::lift(ring, limbs, ring::sample_error(ring->degree(), ring->kernel()), extent);
}

}  // namespace

SeededCiphertext encrypt_symmetric(const Parameters& parameters, const Plaintext& plaintext,
                                   const SecretKey& secret) {
    const ring::Seed seed = ring::random_seed();
    Polynomial a = ring::expand_uniform(parameters.ring(), plaintext.polynomial.limbs(), seed,
                                        ring::Purpose::kCiphertext);
    const Polynomial& message = plaintext.polynomial;
    Polynomial c0 = fresh_error(parameters.ring(), message.limbs(), ring::Extent::kData);
    if (message.form() == Form::kValues) c0.to_values();
    c0.add(message);
    Polynomial product = a;
    product.multiply(secret.values());
    if (c0.form() == Form::kCoefficients) product.to_coefficients();
    c0.subtract(product);
    product.wipe_all();  // divided by the public `a` it is the key
    return SeededCiphertext{seed, Ciphertext{std::move(c0), std::move(a)}};
}

Ciphertext restore_seeded(const Parameters& parameters, const ring::Seed& seed, Polynomial c0) {
    if (c0.ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a ciphertext over another ring");
    }
    Polynomial a =
        ring::expand_uniform(parameters.ring(), c0.limbs(), seed, ring::Purpose::kCiphertext);
    return Ciphertext{std::move(c0), std::move(a)};
}

Ciphertext encrypt_public(const Parameters& parameters, const Plaintext& plaintext,
                          const PublicKey& key) {
    const ring::RingPointer& ring = parameters.ring();
    const Polynomial& message = plaintext.polynomial;
    const std::size_t limbs = message.limbs();
    const ring::Extent extent = key.b.extent();
    if (key.b.limbs() < limbs) throw std::invalid_argument("the public key has too few primes");
    Polynomial u = ring::lift(ring, limbs, ring::sample_ternary(ring->degree()), extent);
    u.to_values();
    Ciphertext zero{u, std::move(u)};
    zero.c0.multiply(key.b);
    zero.c1.multiply(key.a);
    for (Polynomial* part : {&zero.c0, &zero.c1}) {
        part->to_coefficients();
        Polynomial error = fresh_error(ring, limbs, extent);
        part->add(error);
        error.wipe_all();
    }
    if (extent == ring::Extent::kWithSpecial) {
        const std::array<const Polynomial*, 2> parts = {&zero.c0, &zero.c1};
        std::vector<Polynomial> quotients = ring::divide_and_round(parts, limbs);
        zero.c0.wipe_all();  // modulo P it tells the noise, and so the message
        zero.c1.wipe_all();
        zero = {std::move(quotients[0]), std::move(quotients[1])};
    }
    if (message.form() == Form::kValues) {
        zero.c0.to_values();
        zero.c1.to_values();
    }
    zero.c0.add(message);
    return zero;
}

Plaintext decrypt_raw(const Ciphertext& ciphertext, const SecretKey& secret) {
    const bool values = ciphertext.c0.form() == Form::kValues;
    Polynomial result =
        ciphertext.c1.form() == Form::kValues ? ciphertext.c1 : ciphertext.c1.in_values();
    result.multiply(secret.values());
    if (!values) result.to_coefficients();
    result.add(ciphertext.c0);
    return Plaintext{std::move(result)};
}

std::vector<double> decrypt_flooded(const Ciphertext& ciphertext, const SecretKey& secret,
                                    std::span<const std::uint32_t> positions, double scale,
                                    double log_sigma) {
    Plaintext message = decrypt_raw(ciphertext, secret);
    message.polynomial.to_coefficients();
    ring::add_flood(message.polynomial, positions, ring::sample_flood(positions.size(), log_sigma));
    std::vector<double> result = centred(message.polynomial, positions, scale);
    message.polynomial.wipe_all();
    return result;
}

}  // namespace strongroom::ckks
