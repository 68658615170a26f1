#include "ckks/encryption.hpp"

#include <stdexcept>

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

namespace {

// A fresh error plus the message, in the message's form.
Polynomial error_plus(const Polynomial& message) {
    const ring::RingPointer& ring = message.ring_pointer();
    Polynomial sum =
        ring::lift(ring, message.limbs(), ring::sample_error(ring->degree(), ring->kernel()));
    if (message.form() == Form::kValues) sum.to_values();
    sum.add(message);
    return sum;
}

}  // namespace

SeededCiphertext encrypt_symmetric(const Parameters& parameters, const Plaintext& plaintext,
                                   const SecretKey& secret) {
    const ring::Seed seed = ring::random_seed();
    Polynomial a = ring::expand_uniform(parameters.ring(), plaintext.polynomial.limbs(), seed,
                                        ring::Purpose::kCiphertext);
    Polynomial c0 = error_plus(plaintext.polynomial);
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
    const std::size_t n = parameters.ring_degree();
    const std::size_t limbs = plaintext.polynomial.limbs();
    if (key.b.limbs() < limbs) throw std::invalid_argument("the public key has too few primes");
    Polynomial u = ring::lift(ring, limbs, ring::sample_ternary(n));
    u.to_values();
    Ciphertext result{u, std::move(u)};
    result.c0.multiply(key.b);
    result.c1.multiply(key.a);
    Polynomial message = error_plus(plaintext.polynomial);
    Polynomial error = ring::lift(ring, limbs, ring::sample_error(n, ring->kernel()));
    if (message.form() == Form::kCoefficients) {
        result.c0.to_coefficients();
        result.c1.to_coefficients();
    } else {
        error.to_values();
    }
    result.c0.add(message);
    result.c1.add(error);
    message.wipe_all();
    error.wipe_all();
    return result;
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
